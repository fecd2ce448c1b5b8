/** Makes elements and keeps lists of them; text is always text. */

/** @template {HTMLElement} T @param {string} id @returns {T} */
export const at = (id) => /** @type {T} */ (document.getElementById(id));

/** @template {keyof HTMLElementTagNameMap} K @param {K} tag @param {string} [className] @param {string} [text] */
export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** Writes only what has changed, so that screen readers and selections are left in peace.
 * @param {Element} place @param {string} text */
export function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/**
 * Brings a list up to date in place: an item keeps its element for as long as it is there. The element that has the
 * keyboard's focus is never moved, since moving takes the focus away: the others are placed around it.
 *
 * @template T
 * @param {HTMLElement} list @param {T[]} items @param {(item: T) => string} keyOf
 * @param {(item: T) => HTMLElement} make @param {(element: HTMLElement, item: T) => void} update
 */
export function keep(list, items, keyOf, make, update) {
  const old = new Map([...list.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, child]));
  const wanted = items.map((item) => {
    const key = keyOf(item);
    const made = /** @type {HTMLElement} */ (old.get(key) ?? make(item));
    made.dataset.key = key;
    old.delete(key);
    update(made, item);
    return made;
  });
  for (const gone of old.values()) gone.remove();
  const fixed = wanted.findIndex((one) => one.contains(document.activeElement));
  place(list, wanted.slice(0, Math.max(0, fixed)), list.firstElementChild);
  place(list, wanted.slice(fixed + 1), fixed < 0 ? list.firstElementChild : wanted[fixed].nextElementSibling);
}

/** @param {HTMLElement} list @param {HTMLElement[]} wanted @param {Element | null} from */
function place(list, wanted, from) {
  for (const one of wanted) {
    if (one === from) from = from.nextElementSibling;
    else list.insertBefore(one, from);
  }
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
