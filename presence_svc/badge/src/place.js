/** Where the service is: said by the page, or known from where this module came from. */

const SERVED = /^(https?:\/\/.*?)(?:\/@[^/]+)?\/live-viewer-badge\.js(?:[?#].*)?$|^(https?:\/\/.*)\/static\/src\/place\.js$/;

let isWarned = false;

/** One warning, however many badges. @param {string} why */
export function warnOfBase(why) {
  if (isWarned) return;
  isWarned = true;
  console.warn(`live-viewer-badge: ${why}. Set base-url (baseUrl in JavaScript) to the address of the presence service.`);
}

/** Its folder, so that a service below a path is found; after redirects this is where they led to. */
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
 * @param {string} [baseUrl] @returns {{base: string, isGuess: boolean}} without a slash at the end; whether nobody said so
 */
export function place(baseUrl) {
  if (!baseUrl) return { base: origin(), isGuess: true };
  const { href } = new URL(baseUrl, globalThis.location?.href);
  return { base: href.replace(/[?#].*$/, "").replace(/\/+$/, ""), isGuess: false };
}
