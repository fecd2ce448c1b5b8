/** Counts without a stream; and which courses are not for us, since a stream fails as a whole for one of them. */

/** @param {string[]} ids */
export const courseQuery = (ids) => ids.map((id) => `course_id=${encodeURIComponent(id)}`).join("&");

/** That it is no use to ask for this as whoever we are now. @param {{status?: number}} error */
export const isRefusal = ({ status }) => status === 403 || status === 422;

/**
 * Reads their Counts, and finds by halves those that are refused. Silent about all else: the stream and the heartbeats
 * report what is wrong.
 * @param {import("./hub.js").Hub} hub @param {string[]} ids @returns {Promise<void>}
 */
export async function look(hub, ids) {
  if (!ids.length) return;
  try {
    const answer = await (await hub.service.request(`/v1/counts?${courseQuery(ids)}`)).json();
    for (const count of answer.counts) hub.courses.get(count.course_id)?.accept(count);
  } catch (/** @type {any} */ error) {
    const half = ids.length >> 1;
    if (!isRefusal(error)) return;
    if (!half) return hub.courses.get(ids[0])?.refuse(error);
    await look(hub, ids.slice(0, half));
    await look(hub, ids.slice(half));
  }
}
