/** What the browser remembers for us. Storage may be forbidden, full or absent: then we remember while the page lives. */

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

/** 128 bits: whoever knows such an id may end its session. Not crypto.randomUUID, which plain http does not have. */
export const randomId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

let visitor = "";

/** Who is not signed in: the same random id at every visit of this browser. */
export function visitorId() {
  visitor ||= stored("localStorage", "live-viewer-id") ?? randomId();
  stored("localStorage", "live-viewer-id", visitor);
  return visitor;
}

const COUNTED = "live-viewer-counted";

/** Whether a tab of this browser (perhaps this one, before a reload) already has the viewer counted. @param {string} key */
export const isCounted = (key) => (stored("localStorage", COUNTED) ?? {})[key] > Date.now();

/** Tells the other tabs; forgets what is over, so that this never grows. @param {string} key @param {number} until */
export function setCounted(key, until) {
  const entries = Object.entries(stored("localStorage", COUNTED) ?? {}).filter(([, end]) => end > Date.now());
  stored("localStorage", COUNTED, { ...Object.fromEntries(entries), [key]: until });
}
