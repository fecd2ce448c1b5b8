/** Some faces beside the number, and how many more there are. For the eye: the badge's label says the number. */

import { h } from "./dom.js";
import { face } from "./face.js";

export class Stack {
  #faces = h("span", { class: "faces" });
  #rest = h("span", { part: "rest" });
  element = h("span", { part: "stack", "aria-hidden": "true", hidden: "" }, this.#faces, this.#rest);
  #drawn = "[]";

  get isShown() {
    return Boolean(this.#faces.childElementCount);
  }

  /** @param {import("./words.js").Viewer[]} viewers @param {string} rest @param {string} nameless */
  draw(viewers, rest, nameless) {
    const named = viewers.map((viewer) => /** @type {const} */ ([viewer, viewer.name?.trim() || nameless]));
    const key = JSON.stringify(named.map(([viewer, name]) => [viewer.viewer_id, name, viewer.avatar_url]));
    if (key !== this.#drawn) {
      const faces = named.map(([viewer, name]) => {
        const made = face(viewer, name, true);
        made.title = name;
        return made;
      });
      this.#faces.replaceChildren(...faces);
    }
    this.#drawn = key; // pictures are not loaded again at every change of the number
    this.#rest.textContent = rest;
    this.element.hidden = !viewers.length;
  }
}
