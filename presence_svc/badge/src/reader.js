/** Counts without a stream; and which courses are not for us, since a stream fails as a whole for one of them. */

import { probes, reads } from "./ask.js";

/** @typedef {Error & {status?: number, retryAfter?: number}} Failure */
/** @typedef {import("./service.js").Service} Service */

/** That it is no use to ask for this as whoever we are now. @param {Failure} error */
export const isRefusal = ({ status }) => status === 403 || status === 422;

/**
 * Reads their Counts, and finds by halves those that are refused. Throws when the service does not answer.
 * @param {Service} service @param {string[]} ids @param {string[] | null} chapters
 * @param {(count: import("./words.js").Count) => void} hear @returns {Promise<Map<string, Failure>>} the refused
 */
export async function look(service, ids, chapters, hear) {
  /** @type {Map<string, Failure>} */ const refused = new Map();
  await halved(reads(ids, chapters), refused, async ({ path }) => {
    const answer = await (await service.request(path)).json();
    for (const count of answer.counts) hear(count);
  }, (part) => reads(part, chapters));
  return refused;
}

/**
 * Of which courses the names are refused: a stream that is only asked whether it would open.
 * @param {Service} service @param {string[]} ids @returns {Promise<Map<string, Failure>>}
 */
export async function unnamed(service, ids) {
  /** @type {Map<string, Failure>} */ const refused = new Map();
  await halved(probes(ids), refused, async ({ path }) => void (await service.request(path, { method: "HEAD" })), probes);
  return refused;
}

/**
 * @param {import("./ask.js").Ask[]} asks @param {Map<string, Failure>} refused
 * @param {(ask: import("./ask.js").Ask) => Promise<void>} send @param {(ids: string[]) => import("./ask.js").Ask[]} again
 */
async function halved(asks, refused, send, again) {
  for (const ask of asks) {
    try {
      await send(ask);
    } catch (/** @type {any} */ error) {
      if (!isRefusal(error)) throw error;
      const half = ask.ids.length >> 1;
      if (!half) refused.set(ask.ids[0], error);
      else for (const part of [ask.ids.slice(0, half), ask.ids.slice(half)]) await halved(again(part), refused, send, again);
    }
  }
}
