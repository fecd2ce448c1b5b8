/** The list of viewers: up to five, how many more, and how many anonymous. Opens on hover, focus, touch and keys. */

import { Avatars } from "./avatar.js";
import { h } from "./dom.js";

const GAP = 8;
const ENOUGH = 160; // pixels in which a list can be read
const LINGER = 150; // the pointer may cross the gap between badge and tooltip

export class Tooltip {
  isOpen = false;
  #title = h("div", { class: "title" });
  #list = h("ul");
  #more = h("div", { part: "more", class: "note first" });
  #anonymous = h("div", { class: "note" });
  #state = h("div", { class: "note" });
  #avatars = new Avatars();
  #drawn = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {AbortController | undefined} */ #outside;

  /** @param {HTMLElement} host @param {HTMLElement} badge @param {() => void} opened */
  constructor(host, badge, opened) {
    this.host = host;
    this.badge = badge;
    this.opened = opened;
    const parts = [this.#title, this.#list, this.#more, this.#anonymous, this.#state];
    this.element = h("div", { part: "tooltip", id: "tooltip", role: "tooltip", popover: "manual" }, ...parts);
    host.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && this.open());
    host.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.close(LINGER));
    badge.addEventListener("focus", () => badge.matches(":focus-visible") && this.open());
    badge.addEventListener("blur", () => this.close());
    let pointer = ""; // not every browser's click says what made it
    badge.addEventListener("pointerdown", ({ pointerType }) => {
      pointer = pointerType;
    });
    badge.addEventListener("click", () => {
      if (pointer !== "mouse") this.#toggle(); // a mouse has opened it by hovering
      pointer = "";
    });
    badge.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation(); // a player's hot keys
      this.#toggle();
    });
  }

  /** The window that it is in, which need not be the one that made it. */
  get #window() {
    return this.host.ownerDocument.defaultView ?? window;
  }

  #toggle() {
    if (this.isOpen) this.close();
    else this.open();
  }

  open() {
    clearTimeout(this.#timer);
    if (this.isOpen || !this.host.isConnected) return;
    this.isOpen = true;
    this.opened();
    this.element.toggleAttribute("data-open", true);
    this.element.showPopover?.();
    this.badge.setAttribute("aria-expanded", "true");
    this.#outside = new AbortController();
    const { signal } = this.#outside;
    const on = this.#window.addEventListener.bind(this.#window);
    const first = { signal, capture: true }; // before a page that keeps keys or taps for itself
    on("keydown", (event) => event.key === "Escape" && this.#dismiss(event), first);
    on("pointerdown", (event) => event.composedPath().includes(this.host) || this.close(), first);
    on("scroll", () => this.#place(), { ...first, passive: true });
    on("resize", () => this.#place(), { signal });
    this.#place();
  }

  /** What it is in, a dialog, stays open. @param {KeyboardEvent} event */
  #dismiss(event) {
    event.preventDefault();
    event.stopPropagation();
    this.close();
  }

  close(delay = 0) {
    clearTimeout(this.#timer);
    if (!this.isOpen) return;
    if (delay) {
      this.#timer = setTimeout(() => this.close(), delay);
      return;
    }
    this.isOpen = false;
    this.#outside?.abort();
    this.badge.setAttribute("aria-expanded", "false");
    this.element.toggleAttribute("data-open", false);
    if (this.element.isConnected) this.element.hidePopover?.();
  }

  /** Below the badge, or above where there is more room; over it where there is hardly any. Never outside the window. */
  #place() {
    const badge = this.badge.getBoundingClientRect();
    const { style } = this.element;
    const { innerWidth, innerHeight } = this.#window;
    const window = innerHeight - 2 * GAP;
    const [above, below] = [badge.top - 2 * GAP, innerHeight - badge.bottom - 2 * GAP];
    style.maxHeight = `${window}px`;
    const needed = this.element.getBoundingClientRect().height;
    const isBelow = needed <= below || below >= above;
    const room = isBelow ? below : above;
    if (room >= ENOUGH) style.maxHeight = `${Math.min(window, room)}px`;
    const { width, height } = this.element.getBoundingClientRect();
    const within = (/** @type {number} */ at, /** @type {number} */ size, /** @type {number} */ space) =>
      Math.max(GAP, Math.min(at, space - size - GAP));
    style.left = `${within(badge.left + (badge.width - width) / 2, width, innerWidth)}px`;
    style.top = `${within(isBelow ? badge.bottom + GAP : badge.top - GAP - height, height, innerHeight)}px`;
  }

  /**
   * @param {import("../shared/types.js").Count | null} count @param {import("../shared/types.js").Viewer[]} viewers
   * @param {{title: string, note: string, self: string | undefined, pictures: boolean, labels: import("./labels.js").Labels,
   *   write: (n: number) => string}} as
   */
  draw(count, viewers, { title, note, self, pictures, labels, write }) {
    const more = viewers.length ? Math.max(0, (count?.named ?? 0) - viewers.length) : 0;
    const unnamed = count?.anonymous ?? 0;
    const line = (/** @type {import("../shared/types.js").Viewer} */ viewer) => {
      const name = viewer.name?.trim() || labels.nameless;
      return [viewer.viewer_id, name, viewer.viewer_id === self ? labels.you(name) : name, viewer.avatar_url];
    };
    this.#title.textContent = title;
    this.#more.textContent = more ? labels.more(more, write(more)) : "";
    this.#anonymous.textContent = unnamed ? labels.anonymous(unnamed, write(unnamed)) : "";
    this.#state.textContent = note;
    const key = JSON.stringify([viewers.map(line), pictures]);
    if (key !== this.#drawn) {
      const lines = viewers.map((viewer) => {
        const [, name, text] = line(viewer);
        return h("li", { part: "viewer" }, this.#avatars.of(viewer, String(name), pictures), h("bdi", {}, String(text)));
      });
      this.#avatars.forget();
      this.#list.replaceChildren(...lines);
    }
    this.#drawn = key; // pictures are not loaded again at every change of the number
    this.#place();
  }
}
