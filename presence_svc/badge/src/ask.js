/** What is to be heard of which courses, and the requests that ask for it: as few as any proxy lets through. */

const MAX_COURSES = 100; // in the query of a stream
const MAX_COUNTS = 200; // in the query of a read
const MAX_QUERY = 6_000; // bytes: a default nginx takes 8 KiB of request line
const MAX_CHAPTERS = 1_000; // bytes of their ids; more are all
const MAX_BODY = 500; // in the body of either
const MAX_STREAMS = 3; // of the six connections that a browser allows an origin; what is on none is asked for by turns

/**
 * @typedef {{courses: Record<string, number>, chapters: string[] | null, areApart: boolean}} Want how many names of each course;
 *   which chapters, or all of them (null);
 *   apart: a stream of its own for those whose names are wanted, since those of the others are not for us
 * @typedef {{ids: string[], path: string, body?: object}} Ask a request for these
 */

/** @param {Want[]} wants @returns {Want} */
export function merged(wants) {
  /** @type {Record<string, number>} */ const courses = Object.create(null);
  for (const want of wants) {
    for (const [id, names] of Object.entries(want.courses)) {
      courses[id] = Math.max(courses[id] ?? 0, names);
    }
  }
  const asked = [...new Set(wants.flatMap(({ chapters }) => chapters ?? []))].sort();
  const areAll = asked.join().length > MAX_CHAPTERS || wants.some(({ chapters }) => !chapters);
  return { courses, chapters: areAll ? null : asked, areApart: wants.some((want) => want.areApart) };
}

/** @param {string} id */
const item = (id) => `course_id=${encodeURIComponent(id)}`;

/** Cut where it would be too many or too long. @param {string[]} ids @param {number} most @param {number} [longest] */
function cut(ids, most, longest = MAX_QUERY) {
  /** @type {string[][]} */ const parts = [];
  let size = 0;
  for (const id of ids) {
    const length = item(id).length + 1;
    const last = parts[parts.length - 1];
    if (!last || last.length === most || size + length > longest) {
      parts.push([id]);
      size = length;
    } else {
      last.push(id);
      size += length;
    }
  }
  return parts;
}

/** Services of before this exists ignore what they do not know. @param {string[] | null} chapters */
const rest = (chapters) => (chapters ? `&chapters=${chapters.map(encodeURIComponent).join() || "none"}` : "");

/** The reads that bring the counts of these. @param {string[]} ids @param {string[] | null} chapters @returns {Ask[]} */
export const reads = (ids, chapters) =>
  cut(ids, MAX_COUNTS).map((part) => ({ ids: part, path: `/v1/counts?${part.map(item).join("&")}${rest(chapters)}` }));

/** Requests that only ask whether streams with the names of these would open. @param {string[]} ids @returns {Ask[]} */
export const probes = (ids) =>
  cut(ids, MAX_COURSES).map((part) => ({ ids: part, path: `/v1/live?${part.map(item).join("&")}&viewers=1` }));

/**
 * The streams that bring all this: one, unless names are apart or there are too many courses for a query. Then a POST
 * may say them all, where the service takes it.
 * @param {Want} want @param {boolean} canPost @returns {Ask[]}
 */
export function streams({ courses, chapters, areApart }, canPost) {
  const all = Object.keys(courses).sort();
  const named = areApart ? all.filter((id) => courses[id]) : all;
  const groups = areApart ? [named, all.filter((id) => !courses[id])] : [named];
  const asks = groups.flatMap((ids) => {
    const viewers = Math.min(20, Math.max(0, ...ids.map((id) => courses[id])));
    const parts = cut(ids, MAX_COURSES);
    if (parts.length > 1 && canPost) {
      const wish = { ...(viewers && { viewers, order: "joined" }), ...(chapters && { chapters: chapters.length ? chapters : "none" }) };
      return cut(ids, MAX_BODY, Infinity).map((part) => ({ ids: part, path: "/v1/live", body: { course_ids: part, ...wish } }));
    }
    const tail = (viewers ? `&viewers=${viewers}&order=joined` : "") + rest(chapters);
    return parts.map((part) => ({ ids: part, path: `/v1/live?${part.map(item).join("&")}${tail}` }));
  });
  return asks.slice(0, MAX_STREAMS);
}
