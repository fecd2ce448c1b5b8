/** Checks of what pages pass in. */

const ID = /^[A-Za-z0-9_.:@~|=+-]{1,128}$/;

export const isHidden = () => globalThis.document?.visibilityState === "hidden";

/** @param {string} text */
function isUrl(text) {
  try {
    return Boolean(new URL(text)); // URL.canParse is younger than many browsers
  } catch {
    return false;
  }
}

/** Pictures are loaded from such addresses only. @param {string | null | undefined} url */
export const isHttps = (url) => /^https:\/\/\S+$/i.test(url ?? "") && isUrl(url ?? "");

/** What a presence service accepts as a course id. @param {string} id */
export const isId = (id) => ID.test(id);

/**
 * An id or name as text; databases have numbers. Throws a TypeError for what is neither.
 * @param {unknown} value @param {string} option @returns {string | undefined}
 */
export function asText(value, option) {
  if (value == null) return undefined;
  const isText = typeof value === "string" || typeof value === "bigint";
  if (!isText && !Number.isFinite(value)) throw new TypeError(`${option} must be text or a number`);
  return String(value).trim() || undefined;
}
