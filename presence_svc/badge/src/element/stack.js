/** Avatars beside the number, and how many more there are. Hidden from screen readers: the badge's label has the number. */

import { Avatars } from "./avatar.js";
import { h } from "./dom.js";

export class Stack {
  #avatars = h("span", { class: "avatars" });
  #rest = h("span", { part: "rest" });
  element = h("span", { part: "stack", "aria-hidden": "true", hidden: "" }, this.#avatars, this.#rest);
  #made = new Avatars();
  #drawn = "[]";

  get isShown() {
    return Boolean(this.#avatars.childElementCount);
  }

  /** @param {import("../shared/types.js").Viewer[]} viewers @param {string} rest @param {string} nameless */
  draw(viewers, rest, nameless) {
    const named = viewers.map((viewer) => /** @type {const} */ ([viewer, viewer.name?.trim() || nameless]));
    const key = JSON.stringify(named.map(([viewer, name]) => [viewer.viewer_id, name, viewer.avatar_url]));
    if (key !== this.#drawn) {
      const avatars = named.map(([viewer, name]) => {
        const avatar = this.#made.of(viewer, name, true);
        avatar.title = name;
        return avatar;
      });
      this.#made.forget();
      this.#avatars.replaceChildren(...avatars);
    }
    this.#drawn = key; // pictures are not loaded again at every change of the number
    this.#rest.textContent = rest;
    this.element.hidden = !viewers.length;
  }
}
