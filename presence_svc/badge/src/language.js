/** In which language and direction a badge speaks: its own, or that of what it stands in. */

import { english, labels } from "./words.js";

/** @typedef {import("./words.js").Labels} Labels */

const RTL = /^(ar|dv|fa|he|iw|ps|sd|ug|ur|yi)\b/i;

/** @type {Map<string, Labels | null>} the words of languages that were asked for */ const known = new Map();
/** @type {Map<string, Promise<void>>} those on their way */ const coming = new Map();

/** The nearest attribute, out of shadow trees too. @param {Element} element @param {string} name */
function nearest(element, name) {
  for (let at = /** @type {Element | null} */ (element); at; ) {
    const found = at.closest(`[${name}]`);
    if (found) return found.getAttribute(name) ?? "";
    const root = at.getRootNode();
    at = root instanceof ShadowRoot ? root.host : null;
  }
  return "";
}

/** @param {Element} element */
export const languageOf = (element) => nearest(element, "lang");

/** What the element's words need where the page says nothing of a direction. @param {Element} element */
export const directionOf = (element) => (!nearest(element, "dir") && RTL.test(languageOf(element)) ? "rtl" : "");

/**
 * The words of a language: English until others have come. What the page has put into `labels` goes before.
 * @param {string} language @param {() => void} come @returns {Labels}
 */
export function wordsOf(language, come) {
  if (!known.has(language)) {
    known.set(language, null);
    if (!/^(en\b|$)/i.test(language)) coming.set(language, load(language));
  }
  coming.get(language)?.then(come);
  const own = Object.entries(labels).filter(([name, word]) => word !== english[/** @type {keyof Labels} */ (name)]);
  return { ...english, ...known.get(language), ...Object.fromEntries(own) };
}

/** English stays where they cannot be had. @param {string} language */
async function load(language) {
  try {
    const { words } = await import("./translations.js");
    known.set(language, words(language));
  } catch {}
  coming.delete(language);
}

/** Calls when the page itself changes its language. @param {() => void} changed @returns {() => void} to stop */
export function watchLanguage(changed) {
  const watch = new MutationObserver(changed);
  watch.observe(document.documentElement, { attributeFilter: ["lang", "dir"] });
  return () => watch.disconnect();
}
