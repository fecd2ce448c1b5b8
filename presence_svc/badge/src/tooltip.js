/** Who is here: up to five faces, how many more, and the unnamed in words. Opened by hover, focus, touch and keys. */

import { isHttps } from "./checks.js";
import { h } from "./dom.js";
import { labels } from "./words.js";

const FACES = 5;
const GAP = 8;
const LINGER = 150; // the pointer may cross the gap between badge and tooltip

/** @param {string} name */
function initials(name) {
  const words = name.trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => [...word][0] ?? "").join("").toUpperCase();
}

/** The same colour for the same viewer, everywhere; neighbours (u1, u2) far apart. @param {string} id */
const hue = (id) => ([...id].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 9973, 7) * 137) % 360;

/** @param {import("./words.js").Viewer} viewer @param {boolean} isSelf @param {boolean} withPicture */
function face(viewer, isSelf, withPicture) {
  const name = viewer.name?.trim() || labels.nameless;
  const avatar = h("span", { part: "avatar", "aria-hidden": "true" }, initials(name));
  avatar.style.setProperty("--hue", String(hue(viewer.viewer_id)));
  if (withPicture && isHttps(viewer.avatar_url)) {
    const picture = h("img", { alt: "", referrerpolicy: "no-referrer", decoding: "async" });
    picture.onload = () => avatar.replaceChildren(picture); // initials until then, and if it never comes
    picture.src = String(viewer.avatar_url);
  }
  return h("li", { part: "viewer" }, avatar, h("bdi", {}, isSelf ? labels.you(name) : name));
}

export class Tooltip {
  isOpen = false;
  #title = h("div", { class: "title" });
  #list = h("ul");
  #more = h("div", { part: "more", class: "note first" });
  #anonymous = h("div", { class: "note" });
  #state = h("div", { class: "note" });
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
    badge.addEventListener("click", (event) => {
      const isMouse = /** @type {PointerEvent} */ (event).pointerType === "mouse"; // which has opened it by hovering
      if (!isMouse) this.#toggle();
    });
    badge.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      this.#toggle();
    });
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
    addEventListener("keydown", (event) => event.key === "Escape" && this.close(), { signal });
    addEventListener("pointerdown", (event) => event.composedPath().includes(this.host) || this.close(), { signal });
    addEventListener("scroll", () => this.#place(), { signal, capture: true, passive: true });
    addEventListener("resize", () => this.#place(), { signal });
    this.#place();
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

  /** Below the badge, or above where there is no room; never outside the window. */
  #place() {
    const badge = this.badge.getBoundingClientRect();
    const { width, height } = this.element.getBoundingClientRect();
    const below = badge.bottom + GAP;
    const top = below + height > innerHeight && badge.top - GAP - height > 0 ? badge.top - GAP - height : below;
    const left = Math.max(GAP, Math.min(badge.left + (badge.width - width) / 2, innerWidth - width - GAP));
    this.element.style.left = `${left}px`;
    this.element.style.top = `${top}px`;
  }

  /**
   * @param {import("./words.js").Count | null} count @param {import("./words.js").Viewer[]} viewers
   * @param {{title: string, note: string, self: string | undefined, pictures: boolean, write: (n: number) => string}} as
   */
  draw(count, viewers, { title, note, self, pictures, write }) {
    const shown = viewers.slice(0, FACES);
    const more = shown.length ? Math.max(0, (count?.named ?? 0) - shown.length) : 0;
    const unnamed = count?.anonymous ?? 0;
    this.#title.textContent = title;
    this.#more.textContent = more ? labels.more(more, write(more)) : "";
    this.#anonymous.textContent = unnamed ? labels.anonymous(unnamed, write(unnamed)) : "";
    this.#state.textContent = note;
    const key = JSON.stringify([shown.map((viewer) => [viewer.viewer_id, viewer.name, viewer.avatar_url]), self, pictures]);
    if (key !== this.#drawn) this.#list.replaceChildren(...shown.map((v) => face(v, v.viewer_id === self, pictures)));
    this.#drawn = key; // pictures are not loaded again at every change of the number
    this.#place();
  }
}
