/** Titles of courses and chapters as the service was given them; without any, the ids. */

import { Failed, read } from "../api.js";

const MOST = 50; // asked for at once: ids may be long, and addresses not

/** @typedef {{title: string, chapters: Record<string, string>}} Named */

/** @type {Map<string, Named | null>} */ const known = new Map();
let isServed = true;

/** @param {string} id */
export const titleOf = (id) => known.get(id)?.title || id;

/** @param {string} id @param {string} chapterId */
export const chapterOf = (id, chapterId) => known.get(id)?.chapters[chapterId] || chapterId;

/** The chapters that have a title, in the order in which they were given. @param {string} id */
export const chaptersOf = (id) => Object.keys(known.get(id)?.chapters ?? {});

export function forget() {
  known.clear();
  isServed = true;
}

/** Sees to it that the titles of these courses are known, as far as there are any. @param {string[]} ids */
export async function learn(ids) {
  const unknown = ids.filter((id) => !known.has(id));
  try {
    while (unknown.length && isServed) {
      const some = unknown.splice(0, MOST);
      keep((await read("v1/titles", { course_id: some })).titles, some);
    }
  } catch (error) {
    isServed = !(error instanceof Failed && [403, 404].includes(error.status));
  }
}

/** The ids of courses whose title has these words. @param {string} text @param {AbortSignal} signal @returns {Promise<string[]>} */
export async function search(text, signal) {
  if (!isServed || !text) return [];
  const { titles } = await read("v1/titles", { q: text }, signal).catch((error) => {
    if (signal.aborted) throw error;
    return { titles: {} };
  });
  keep(titles, []);
  return Object.keys(titles);
}

/** @param {Record<string, Named>} titles @param {string[]} asked */
function keep(titles, asked) {
  for (const id of asked) known.set(id, null);
  for (const [id, named] of Object.entries(titles)) known.set(id, named);
}
