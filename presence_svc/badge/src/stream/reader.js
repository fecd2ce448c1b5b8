/** Reads counts without a stream, and finds the courses that are refused: a stream fails as a whole for one of them. */

import { probes, reads } from "./query.js";

/** @typedef {Error & {status?: number, retryAfter?: number}} Failure */
/** @typedef {import("../service/service.js").Service} Service */

/** Repeating the request as the current user is pointless. @param {Failure} error */
export const isRefusal = ({ status }) => status === 403 || status === 422;

/**
 * Reads Counts, and finds refused courses by bisection. Throws if the service does not answer.
 * @param {Service} service @param {string[]} ids @param {string[] | null} chapters
 * @param {(count: import("../shared/types.js").Count) => void} receive @returns {Promise<Map<string, Failure>>} the refused
 */
export async function readCounts(service, ids, chapters, receive) {
  /** @type {Map<string, Failure>} */ const refused = new Map();
  await bisect(reads(ids, chapters), refused, async ({ path }) => {
    const answer = await (await service.request(path)).json();
    for (const count of answer.counts) receive(count);
  }, (part) => reads(part, chapters));
  return refused;
}

/**
 * Finds the courses whose names are refused, by asking whether a stream with them would open.
 * @param {Service} service @param {string[]} ids @returns {Promise<Map<string, Failure>>}
 */
export async function refusedNames(service, ids) {
  /** @type {Map<string, Failure>} */ const refused = new Map();
  await bisect(probes(ids), refused, async ({ path }) => void (await service.request(path, { method: "HEAD" })), probes);
  return refused;
}

/**
 * @param {import("./query.js").Query[]} queries @param {Map<string, Failure>} refused
 * @param {(query: import("./query.js").Query) => Promise<void>} send @param {(ids: string[]) => import("./query.js").Query[]} again
 */
async function bisect(queries, refused, send, again) {
  for (const query of queries) {
    try {
      await send(query);
    } catch (/** @type {any} */ error) {
      if (!isRefusal(error)) throw error;
      const half = query.ids.length >> 1;
      if (!half) refused.set(query.ids[0], error);
      else for (const part of [query.ids.slice(0, half), query.ids.slice(half)]) await bisect(again(part), refused, send, again);
    }
  }
}
