/** The language and direction of a badge: its own, or those of the nearest element that has them. */

import { english, labels } from "./labels.js";

/** @typedef {import("./labels.js").Labels} Labels */

const RTL = /^(ar|dv|fa|he|iw|ps|sd|ug|ur|yi)\b/i;

/** @type {Map<string, Labels | null>} labels by language */ const known = new Map();
/** @type {Map<string, Promise<void>>} those being loaded */ const loading = new Map();

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
export const languageOf = (element) => nearest(element, "lang").replace(/_/g, "-").replace(/[.@].*/, ""); // "de_DE.UTF-8"

/** The direction that the language needs, if the page sets none. @param {Element} element */
export const directionOf = (element) => (!nearest(element, "dir") && RTL.test(languageOf(element)) ? "rtl" : "");

/**
 * The labels of a language: English until others are loaded. What the page has set in `labels` comes first.
 * @param {string} language @param {() => void} loaded @returns {Labels}
 */
export function labelsOf(language, loaded) {
  if (!known.has(language)) {
    known.set(language, null);
    if (!/^(en\b|$)/i.test(language)) loading.set(language, load(language));
  }
  loading.get(language)?.then(loaded);
  const own = Object.entries(labels).filter(([name, text]) => text !== english[/** @type {keyof Labels} */ (name)]);
  return { ...english, ...known.get(language), ...Object.fromEntries(own) };
}

/** If they cannot be loaded, English stays. @param {string} language */
async function load(language) {
  try {
    const { words } = await import("./translations.js");
    known.set(language, words(language));
  } catch {}
  loading.delete(language);
}

/** Calls when anything around the element changes its language. @param {Element} element @param {() => void} changed @returns {() => void} to stop */
export function watchLanguage(element, changed) {
  const watch = new MutationObserver(changed);
  for (let root = element.getRootNode(); ; root = root.host.getRootNode()) {
    watch.observe(root, { subtree: true, attributeFilter: ["lang", "dir"] });
    if (!(root instanceof ShadowRoot)) break;
  }
  return () => watch.disconnect();
}
