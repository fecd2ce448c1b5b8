/** The address of the service: configured by the page, or derived from where this module was loaded from. */

const SERVED = /^(https?:\/\/.*?)(?:\/@[^/]+)?\/live-viewer-badge\.js(?:[?#].*)?$|^(https?:\/\/.*)\/static\/src\/service\/place\.js$/;

let isWarned = false;

/** One warning, however many badges. @param {string} why */
export function warnOfBase(why) {
  if (isWarned) return;
  isWarned = true;
  console.warn(`live-viewer-badge: ${why}. Set base-url (baseUrl in JavaScript) to the address of the presence service.`);
}

/** The folder of this module, so that a service below a path is found; after redirects, the folder they led to. */
function origin() {
  const own = import.meta.url ?? "";
  const [, served, source] = SERVED.exec(own) ?? [];
  if (served || source) return served || source;
  const page = globalThis.location?.href;
  const from = /^https?:/.test(own) ? own : page ?? "";
  warnOfBase(`without base-url the service is looked for where this module came from, and ${from || "that"} is none`);
  return from && new URL(from).origin;
}

/**
 * @param {string} [baseUrl] @returns {{base: string, isGuess: boolean}} without a trailing slash; whether it was derived
 */
export function place(baseUrl) {
  if (!baseUrl) return { base: origin(), isGuess: true };
  let href = "";
  try {
    ({ href } = new URL(baseUrl, globalThis.document?.baseURI ?? globalThis.location?.href)); // a srcdoc frame has no location
  } catch {}
  if (!/^https?:/.test(href)) throw new TypeError(`base-url ${JSON.stringify(baseUrl)} is no address of http or https`);
  return { base: href.replace(/[?#].*$/, "").replace(/\/+$/, ""), isGuess: false };
}
