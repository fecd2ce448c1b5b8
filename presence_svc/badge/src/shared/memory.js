/** Web storage. It may be forbidden, full or absent: then values last as long as the page. */

/**
 * Reads web storage, or writes a value to it, or removes it with null.
 * @param {"localStorage" | "sessionStorage"} area @param {string} key @param {unknown} [value] @returns {any}
 */
export function stored(area, key, value) {
  try {
    const storage = globalThis[area];
    if (value === undefined) return JSON.parse(storage.getItem(key) ?? "null");
    if (value === null) storage.removeItem(key);
    else storage.setItem(key, JSON.stringify(value));
  } catch {}
  return null;
}

/** 128 bits, since whoever knows a session's id can end it. Not crypto.randomUUID, which pages on plain http lack. */
export const randomId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

let visitor = "";

/** The id of a visitor who is not signed in: random, and the same at every visit with this browser. */
export function visitorId() {
  visitor ||= stored("localStorage", "live-viewer-id") ?? randomId();
  stored("localStorage", "live-viewer-id", visitor);
  return visitor;
}

const COUNTED = "live-viewer-counted";

/** Whether the viewer is already counted through a tab of this browser, perhaps this one before a reload. @param {string} key */
export const isCounted = (key) => (stored("localStorage", COUNTED) ?? {})[key] > Date.now();

/** Records it for other tabs, and drops what has lapsed so that the entry cannot grow. @param {string} key @param {number} until */
export function setCounted(key, until) {
  const entries = Object.entries(stored("localStorage", COUNTED) ?? {}).filter(([, end]) => end > Date.now());
  stored("localStorage", COUNTED, { ...Object.fromEntries(entries), [key]: until });
}
