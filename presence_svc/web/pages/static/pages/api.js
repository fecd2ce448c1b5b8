/** The way to the service, wherever below a path it is. What one signs in with stays in this tab and is in no URL. */

const KEY = "presence-api-key";
const DEADLINE = 8_000;

/** Where the service is: these files lie in static/pages below it. */
export const base = new URL("../../", import.meta.url);

let credential = stored();

function stored() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return ""; // storage is forbidden: then it lives as long as the page
  }
}

/** The token or API key that is sent; "" without one. */
export const key = () => credential;

/** @param {string} value a token or key; "" signs out */
export function setKey(value) {
  credential = value;
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  } catch {
    // kept in memory only
  }
}

/** An answer that is not a success; `status` 401 and 403: what one has signed in with does not do. */
export class Failed extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  get isRefusal() {
    return this.status === 401 || this.status === 403;
  }
}

/** @typedef {Record<string, string | number | string[] | undefined>} Query */

/** @param {string} path without a leading slash @param {Query} [query] @returns {URL} */
export function address(path, query = {}) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value ?? []].flat()) url.searchParams.append(name, String(one));
  }
  return url;
}

/** @param {string} path @param {Query} [query] @param {AbortSignal} [signal] @param {object} [body] @returns {Promise<Response>} */
async function ask(path, query, signal, body) {
  const deadline = AbortSignal.timeout(DEADLINE);
  const response = await fetch(address(path, query), {
    method: body ? "POST" : "GET",
    body: body && JSON.stringify(body),
    headers: { ...(credential && { authorization: `Bearer ${credential}` }), ...(body && { "content-type": "application/json" }) },
    cache: "no-cache", // asked for again each time; what has not changed comes as a 304
    credentials: "same-origin",
    signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
  });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Failed(response.status, problem.detail || `the service answered ${response.status}`);
}

/** @param {string} path @param {Query} [query] @param {AbortSignal} [signal] @returns {Promise<any>} throws Failed */
export async function read(path, query, signal) {
  return (await ask(path, query, signal)).json();
}

/** Asks for more than an address holds. @param {string} path @param {object} body @returns {Promise<any>} throws Failed */
export async function post(path, body) {
  return (await ask(path, {}, undefined, body)).json();
}

/** Saves an answer as a file; the credential goes in a header, so a link would not do.
 * @param {string} path @param {Query} query @param {string} name throws Failed */
export async function save(path, query, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await (await ask(path, query)).blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** @param {string} id @param {string} [what] */
export const course = (id, what = "") => `v1/courses/${encodeURIComponent(id)}/${what}`;
