/** What pages want to know of which courses, and the requests for it: as few as proxies' limits allow. */

const MAX_COURSES = 100; // in a stream's query string
const MAX_COUNTS = 200; // in a read's query string
const MAX_QUERY = 6_000; // bytes: a default nginx takes 8 KiB of request line
const MAX_CHAPTERS = 1_000; // bytes of chapter ids; beyond that all chapters are asked for
const MAX_BODY = 500; // in the body of a POST
const PING = "ping=7"; // seconds between a stream's comments; older services ignore it, and send one every 15 s
const MAX_STREAMS = 3; // of the six connections that a browser allows per origin; courses on no stream are polled

/**
 * @typedef {{courses: Record<string, number>, chapters: string[] | null, areApart: boolean}} Want how many names of each course;
 *   which chapters, null for all;
 *   areApart: courses whose names are wanted get a stream of their own, since names of the others are refused
 * @typedef {{ids: string[], path: string, body?: object}} Query a request for these courses
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

/** Splits a list that is too long for one request. @param {string[]} ids @param {number} most @param {number} [longest] */
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

/** Older services ignore this parameter. @param {string[] | null} chapters */
const chaptersParameter = (chapters) => (chapters ? `&chapters=${chapters.map(encodeURIComponent).join() || "none"}` : "");

/** The requests that read the counts of these courses. @param {string[]} ids @param {string[] | null} chapters @returns {Query[]} */
export const reads = (ids, chapters) =>
  cut(ids, MAX_COUNTS).map((part) => ({ ids: part, path: `/v1/counts?${part.map(item).join("&")}${chaptersParameter(chapters)}` }));

/** Requests that only check whether streams with the names of these courses would open. @param {string[]} ids @returns {Query[]} */
export const probes = (ids) =>
  cut(ids, MAX_COURSES).map((part) => ({ ids: part, path: `/v1/live?${part.map(item).join("&")}&viewers=1` }));

/**
 * The streams that deliver all this: one, unless names are apart or the courses do not fit into a query string. Then a
 * POST carries them all, if the service accepts it.
 * @param {Want} want @param {boolean} canPost @returns {Query[]}
 */
export function streams({ courses, chapters, areApart }, canPost) {
  const all = Object.keys(courses).sort();
  const named = areApart ? all.filter((id) => courses[id]) : all;
  const groups = areApart ? [named, all.filter((id) => !courses[id])] : [named];
  const queries = groups.flatMap((ids) => {
    const viewers = Math.min(20, Math.max(0, ...ids.map((id) => courses[id])));
    const parts = cut(ids, MAX_COURSES);
    if (parts.length > 1 && canPost) {
      const options = { ...(viewers && { viewers, order: "joined" }), ...(chapters && { chapters: chapters.length ? chapters : "none" }) };
      return cut(ids, MAX_BODY, Infinity).map((part) => ({ ids: part, path: `/v1/live?${PING}`, body: { course_ids: part, ...options } }));
    }
    const tail = `&${PING}` + (viewers ? `&viewers=${viewers}&order=joined` : "") + chaptersParameter(chapters);
    return parts.map((part) => ({ ids: part, path: `/v1/live?${part.map(item).join("&")}${tail}` }));
  });
  return queries.slice(0, MAX_STREAMS);
}
