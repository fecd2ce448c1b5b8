/** Web storage. It may be forbidden, full or absent: then values last as long as the page. */

import { isId } from "./checks.js";

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

/** Other scripts may write to the same storage. @param {unknown} value @returns {value is string} */
const isOurId = (value) => typeof value === "string" && isId(value);

/**
 * The session that this tab stored when its page was unloaded, and no longer stores; or a new one.
 * @param {string} key @returns {[string, number, number]} its id, the last `seq` and the number that was shown
 */
export function takeSession(key) {
  const kept = stored("sessionStorage", key);
  stored("sessionStorage", key, null);
  const [id, seq, total] = Array.isArray(kept) ? kept : [];
  if (!isOurId(id) || !Number.isSafeInteger(seq) || seq < 0) return [randomId(), 0, 1];
  return [id, seq, total >= 1 ? Number(total) : 1];
}

let visitor = "";

/** The id of a visitor who is not signed in: random, and the same at every visit with this browser. */
export function visitorId() {
  const known = stored("localStorage", "live-viewer-id");
  visitor ||= isOurId(known) ? known : randomId();
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
