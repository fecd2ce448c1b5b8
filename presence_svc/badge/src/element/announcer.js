/** Announces the number to screen readers: politely, at most every 30 s, and only the newest. */

import { h } from "./dom.js";

const QUIET = 30_000;

export class Announcer {
  element = h("span", { class: "status", role: "status" });
  #announcedAt = Date.now();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;

  /** A badge that only observes (a catalogue has many) announces nothing. @param {string} text @param {boolean} isMute */
  announce(text, isMute) {
    clearTimeout(this.#timer);
    if (isMute || text === this.element.textContent) return;
    this.#timer = setTimeout(() => {
      this.#announcedAt = Date.now();
      this.element.textContent = text;
    }, Math.max(0, this.#announcedAt + QUIET - Date.now()));
  }

  stop() {
    clearTimeout(this.#timer);
  }
}
