/** What was: asked of the service, and reckoned with. Nothing here touches the page. */

import { course, read } from "../api.js";
import { zone } from "../format.js";

/**
 * @typedef {"today" | "7d" | "28d"} Range
 * @typedef {{t: number[], peak: (number | null)[], average: (number | null)[], viewer_minutes: (number | null)[],
 *   unique: (number | null)[], partial: boolean[], as_of: number, step: string}} Steps
 * @typedef {{from: number, to: number}} Span
 */

/** `columns`: how many quarters of an hour make a column of the chapters' picture. */
export const RANGES = {
  today: { days: 1, step: "15m", columns: 2, back: 7, title: "today", before: "the same day last week", compare: "last week" },
  "7d": { days: 7, step: "1h", columns: 16, back: 7, title: "in 7 days", before: "the week before", compare: "last week" },
  "28d": { days: 28, step: "1d", columns: 96, back: 28, title: "in 28 days", before: "the 28 days before", compare: "the 28 days before" },
};

/** Whole days of the reader's zone, today the last of them, `back` days ago. @param {Range} range @returns {Span} */
export function span(range, back = 0, now = new Date()) {
  const { days } = RANGES[range];
  const midnight = (/** @type {number} */ ago) => new Date(now.getFullYear(), now.getMonth(), now.getDate() - ago).getTime();
  return { from: midnight(days - 1 + back), to: midnight(back - 1) };
}

/** @param {string} id @param {Range} range @param {{back?: number, signal?: AbortSignal}} [options] @returns {Promise<Steps>} */
export async function steps(id, range, { back = 0, signal } = {}) {
  return read(course(id, "history"), query(range, back), signal);
}

/** @param {Range} range */
export function query(range, back = 0) {
  const { from, to } = span(range, back);
  return { step: RANGES[range].step, from, to: back ? to : undefined, tz: zone };
}

/** @param {string} id @param {AbortSignal} signal
 * @returns {Promise<{average: (number | null)[][], peak: (number | null)[][], weeks: number}>} */
export const calendar = (id, signal) => read(course(id, "history/calendar"), { weeks: 4, tz: zone }, signal);

/** @typedef {{chapter_id: string, viewer_minutes: number, average: (number | null)[], peak: (number | null)[]}} ChapterHeat */

/** Columns of several quarters each. @param {string} id @param {Range} range @param {AbortSignal} signal
 * @returns {Promise<{t: number[], chapters: ChapterHeat[]}>} */
export async function heat(id, range, signal) {
  const found = await read(course(id, "history/heatmap"), { from: span(range).from, tz: zone, limit: 20 }, signal);
  const { columns } = RANGES[range];
  const starts = groups(found.t, span(range).from, columns * 900_000);
  const chapters = found.chapters.map((/** @type {ChapterHeat} */ one) => ({
    ...one,
    peak: starts.map(([from, to]) => highest(one.peak.slice(from, to))),
    average: starts.map(([from, to]) => mean(one.average.slice(from, to))),
  }));
  return { t: starts.map(([from]) => found.t[from]), chapters };
}

/** Where each column begins and ends. A column is so long on the clock on the wall, also when clocks change.
 * @param {number[]} times @param {number} from @param {number} length ms @returns {[number, number][]} */
function groups(times, from, length) {
  const offset = (/** @type {number} */ t) => new Date(t).getTimezoneOffset() * 60_000;
  const column = (/** @type {number} */ t) => Math.floor((t - from - offset(t) + offset(from)) / length);
  const starts = times.map((t, index) => (index && column(t) === column(times[index - 1]) ? -1 : index)).filter((index) => index >= 0);
  return starts.map((start, index) => [start, starts[index + 1] ?? times.length]);
}

/** @param {(number | null)[]} values */
const known = (values) => /** @type {number[]} */ (values.filter((value) => value !== null));

/** @param {(number | null)[]} values */
export const highest = (values) => (known(values).length ? Math.max(...known(values)) : null);

/** @param {(number | null)[]} values */
export function mean(values) {
  const there = known(values);
  return there.length ? there.reduce((sum, value) => sum + value, 0) / there.length : null;
}

/** What the steps come to. `isWhole`: nothing of it is unknown, but for the step that still runs. @param {Steps} found */
export function summary(found) {
  const minutes = known(found.viewer_minutes).reduce((sum, value) => sum + value, 0);
  const peak = highest(found.peak);
  const last = found.t.length - 1;
  const isWhole = found.partial.every((partial, index) => !partial || index === last);
  return { minutes, peak, peakAt: peak === null ? 0 : found.t[found.peak.indexOf(peak)], isWhole };
}

/** By how much more there was than before, over the steps that are over in both; null where that cannot be said.
 * @param {Steps} now @param {Steps} before */
export function growth(now, before) {
  const over = Math.min(now.t.length - 1, before.t.length);
  const pairs = Array.from({ length: Math.max(0, over) }, (_, index) => index).filter((index) => !now.partial[index] && !before.partial[index]);
  const sum = (/** @type {Steps} */ steps) => pairs.reduce((total, index) => total + (steps.viewer_minutes[index] ?? 0), 0);
  return sum(before) > 0 ? sum(now) / sum(before) - 1 : null;
}
