/** A viewer's picture, or initials on a colour of their own. */

import { isHttps } from "../shared/checks.js";
import { h } from "./dom.js";

/** @param {string} name */
function initials(name) {
  const words = name.trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => [...word][0] ?? "").join("").toUpperCase();
}

/** The same colour for the same viewer, everywhere; neighbours (u1, u2) far apart. @param {string} id */
const hue = (id) => ([...id].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 9973, 7) * 137) % 360;

/** @param {import("../shared/types.js").Viewer} viewer @param {string} name @param {boolean} withPicture */
export function avatar(viewer, name, withPicture) {
  const element = h("span", { part: "avatar", "aria-hidden": "true" }, initials(name));
  element.style.setProperty("--hue", String(hue(viewer.viewer_id)));
  if (withPicture && isHttps(viewer.avatar_url)) {
    const picture = h("img", { alt: "", referrerpolicy: "no-referrer", decoding: "async" });
    picture.onload = () => element.replaceChildren(picture); // initials until then, and if it never comes
    picture.src = String(viewer.avatar_url);
  }
  return element;
}
