/** When a course is watched: the weekdays by the hours of the reader's zone, over the last four weeks. */

import { at, write } from "../dom.js";
import { decimal, hourName, number, placeInWeek, weekdays, zone } from "../format.js";
import { HeatGrid } from "./heat_grid.js";
import { calendar } from "./history.js";

const BUSIEST = 3;

export class CalendarPicture {
  #grid = new HeatGrid(at("calendar"), at("calendar-readout"));

  /** @param {string} id @param {AbortSignal} signal */
  async show(id, signal) {
    const { average, peak, weeks } = await calendar(id, signal);
    if (signal.aborted) return;
    const now = placeInWeek();
    const cell = (/** @type {number} */ row) => (/** @type {number | null} */ value, /** @type {number} */ column) => {
      const most = peak[row][column];
      return { value, text: value === null || most === null ? "not known" : `average ${decimal(value)}, peak ${number(most)}` };
    };
    this.#grid.show({
      caption: `Average and peak by weekday and hour over ${weeks} weeks, times of ${zone}`,
      corner: "Weekday",
      columns: Array.from({ length: 24 }, (_, hour) => ({ short: hour % 3 ? "" : hourName(hour), title: `${hourName(hour)} to ${hourName(hour + 1)}` })),
      rows: average.map((values, row) => ({ short: weekdays.short[row], title: weekdays.long[row], cells: values.map(cell(row)) })),
      now: [now.weekday, now.hour],
    });
    write(at("calendar-words"), inWords(average, peak));
  }
}

/** @param {(number | null)[][]} average @param {(number | null)[][]} peak */
function inWords(average, peak) {
  const hours = average.flatMap((values, row) => values.map((value, column) => ({ value: value ?? 0, row, column })));
  const busiest = hours.filter(({ value }) => value > 0).sort((a, b) => b.value - a.value).slice(0, BUSIEST);
  if (!busiest.length) return `Nothing is known yet. Times are those of ${zone}.`;
  const names = busiest.map(({ row, column }) => `${weekdays.long[row]} at ${hourName(column)} (up to ${number(peak[row][column] ?? 0)})`);
  return `Busiest: ${names.join(", ")}. Times are those of ${zone}.`;
}
