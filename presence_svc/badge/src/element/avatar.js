/** A viewer's picture, or initials on a colour of their own. */

import { isHttps } from "../shared/checks.js";
import { h } from "./dom.js";

/** What a reader takes for the first letter: a flag and a family are several code points. @param {string} word */
function firstLetter(word) {
  const { Segmenter } = Intl;
  return Segmenter ? [...new Segmenter().segment(word)][0]?.segment ?? "" : [...word][0] ?? "";
}

/** @param {string} name */
function initials(name) {
  const words = name.replace(/[\p{Bidi_Control}\u200b\ufeff]/gu, "").trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map(firstLetter).join("").toUpperCase();
}

/** The same colour for the same viewer, everywhere; neighbours (u1, u2) far apart. @param {string} id */
const hue = (id) => ([...id].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 9973, 7) * 137) % 360;

/** @param {import("../shared/types.js").Viewer} viewer @param {string} name @param {boolean} withPicture */
function avatar(viewer, name, withPicture) {
  const element = h("span", { part: "avatar", "aria-hidden": "true" }, initials(name));
  element.style.setProperty("--hue", String(hue(viewer.viewer_id)));
  if (withPicture && isHttps(viewer.avatar_url)) {
    const picture = h("img", { alt: "", referrerpolicy: "no-referrer", decoding: "async" });
    picture.onload = () => element.replaceChildren(picture); // initials until then, and if it never comes
    picture.src = String(viewer.avatar_url);
  }
  return element;
}

/** The avatars of a list: who stays keeps theirs, so that no picture is loaded again when others come and go. */
export class Avatars {
  /** @type {Map<string, HTMLElement>} */ #made = new Map();
  /** @type {Map<string, HTMLElement>} */ #next = new Map();

  /** @param {import("../shared/types.js").Viewer} viewer @param {string} name @param {boolean} withPicture */
  of(viewer, name, withPicture) {
    const key = JSON.stringify([viewer.viewer_id, name, withPicture && viewer.avatar_url]);
    const element = this.#made.get(key) ?? avatar(viewer, name, withPicture);
    this.#next.set(key, element);
    return element;
  }

  /** Those that were not asked for since the last time. */
  forget() {
    this.#made = this.#next;
    this.#next = new Map();
  }
}
