/** Announces the number to screen readers: politely, at most every 30 s, and only the newest. */

import { now } from "../shared/timing.js";
import { h } from "./dom.js";

const QUIET = 30_000;

/** What was announced last on this page: two badges of a course say it once. */
const last = { text: "", at: 0 };

export class Announcer {
  element = h("span", { class: "status", role: "status" });
  #announcedAt = now();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;

  /** A badge that only observes (a catalogue has many) announces nothing. @param {string} text @param {boolean} isMute */
  announce(text, isMute) {
    clearTimeout(this.#timer);
    if (isMute || text === this.element.textContent) return;
    this.#timer = setTimeout(() => {
      this.#announcedAt = now();
      if (text === last.text && now() < last.at + QUIET / 2) return;
      Object.assign(last, { text, at: now() });
      this.element.textContent = text;
    }, Math.max(0, this.#announcedAt + QUIET - now()));
  }

  stop() {
    clearTimeout(this.#timer);
  }
}
