/** Where in a course its viewers were, over time: chapters by quarters of an hour, by hours or by days. */

import { at, write } from "../dom.js";
import { asHours, clock, date, decimal, moment, number } from "../format.js";
import { HeatGrid } from "./heat_grid.js";
import { heat } from "./history.js";
import { LABEL } from "./plot.js";
import { chapterOf } from "./titles.js";

const LABELS = 8;
const NARROWEST = 300; // px of the cells: then the table scrolls
const NAMES = 150; // px of the chapters' names

export class ChaptersPicture {
  #grid = new HeatGrid(at("chapter-heat"), at("chapter-readout"));

  /** @param {string} id @param {import("./history.js").Range} range @param {AbortSignal} signal */
  async show(id, range, signal) {
    const { t, chapters } = await heat(id, range, signal);
    if (signal.aborted) return;
    at("chapter-heat").hidden = !chapters.length;
    write(at("chapter-words"), chapters.length ? "" : "Nobody was in any chapter in this time.");
    const label = range === "today" ? clock : date;
    const room = Math.max(NARROWEST, (at("chapter-heat").parentElement?.clientWidth ?? 0) - NAMES);
    const every = Math.ceil(t.length / Math.min(LABELS, Math.floor(room / (LABEL + 10)))) || 1;
    const isFirst = (/** @type {number} */ index) => (range === "7d" ? index === 0 || date(t[index]) !== date(t[index - 1]) : index % every === 0);
    const isLabelled = (/** @type {number} */ index) => isFirst(index) && index + (range === "7d" ? t.length / 16 : every) <= t.length; // a label has room
    this.#grid.show({
      caption: "Average and peak by chapter over time, the most watched first",
      corner: "Chapter",
      columns: t.map((ms, index) => ({ short: isLabelled(index) ? label(ms) : "", title: range === "28d" ? date(ms) : moment(ms) })),
      rows: chapters.map((one) => ({
        short: chapterOf(id, one.chapter_id),
        title: `${chapterOf(id, one.chapter_id)}: ${asHours(one.viewer_minutes)} watched`,
        cells: one.average.map((value, index) => {
          const peak = one.peak[index];
          return { value, text: value === null || peak === null ? "not known" : `average ${decimal(value)}, peak ${number(peak)}` };
        }),
      })),
    });
  }
}
