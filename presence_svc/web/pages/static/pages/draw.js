/** Makes elements for the dashboard; text is always text. */

/** @param {string} tag @param {string} [className] @param {string} [text] @returns {HTMLElement} */
export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** The badge's own colours. @param {string} id */
const hue = (id) => ([...id].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 9973, 7) * 137) % 360;

/** Initials on a colour of the viewer's own. @param {{viewer_id: string, name?: string | null}} viewer */
export function face({ viewer_id: id, name }) {
  const words = (name || id).trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : [words[0]];
  const made = element("span", "face", letters.map((word) => [...word][0] ?? "").join("").toUpperCase());
  made.style.setProperty("--hue", String(hue(id)));
  made.setAttribute("aria-hidden", "true");
  return made;
}
