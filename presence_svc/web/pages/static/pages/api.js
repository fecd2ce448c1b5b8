/** The dashboard's way to the service: same origin, with a key only when it is asked for one. */

const KEY = "presence-api-key";

export const key = () => sessionStorage.getItem(KEY) ?? "";

/** @param {string} value */
export const setKey = (value) => sessionStorage.setItem(KEY, value);

export class Refused extends Error {}

/** @param {string} path from where the service is, perhaps below a path of its own @returns {Promise<any>} refuses with `Refused` when a key is missing or wrong */
export async function read(path) {
  const headers = key() ? { authorization: `Bearer ${key()}` } : undefined;
  const response = await fetch(path.replace(/^\//, ""), { headers, cache: "no-store", signal: AbortSignal.timeout(8_000) });
  if (response.status === 401 || response.status === 403) throw new Refused("a key is needed");
  if (!response.ok) throw new Error(`the service answered ${response.status}`);
  return response.json();
}
