/** The numbers over all courses. */

import { at, write } from "../dom.js";
import { number, seconds } from "../format.js";
import { NowChart } from "./now_chart.js";
import { Behind } from "./table.js";

/** @typedef {{total: number, courses: number, as_of: number, people?: number | null, exact?: boolean, bound_s?: number | null,
 *   warming?: boolean}} Stats */

export class Totals {
  #chart = new NowChart(at("all-chart"), (text) => write(at("all-readout"), text));
  #table = new Behind(at("all-table"));
  #peak = 0;

  /** @param {Stats} stats */
  show({ total, courses, as_of: asOf, people, exact, bound_s: bound, warming }) {
    this.#peak = Math.max(this.#peak, total);
    this.#chart.add(warming && !total ? null : total);
    this.#table.show(() => this.#numbers());
    const known = (/** @type {number} */ value) => (warming && !value ? "counting…" : number(value));
    for (const [id, value] of Object.entries({ total, active: courses, peak: this.#peak })) write(at(id), known(value));
    at("people-tile").hidden = people === null || people === undefined;
    write(at("people"), known(people ?? 0));
    write(at("people-note"), exact === false && bound ? `right within ${number(bound)} s` : "each counted once");
    write(at("warming"), warming ? "Still counting: every viewer sends a heartbeat within a minute. Until then there may be more." : "");
    write(at("as-of"), `as of ${seconds(asOf)}`);
    at("board").classList.toggle("is-counting", Boolean(warming) && !total);
  }

  /** Each change, the newest first. @returns {import("./table.js").Numbers} */
  #numbers() {
    const [times, values] = this.#chart.points;
    const changes = times.map((s, index) => ({ s, index })).filter(({ index }) => !index || values[index] !== values[index - 1]);
    const rows = changes.map(({ s, index }) => [seconds(s * 1000), values[index] === null ? "not known" : number(values[index] ?? 0)]);
    return { caption: "Viewers of all courses in the last minutes, at each change", columns: ["From", "Watching"], rows: rows.reverse() };
  }

  /** Nothing was known at this moment. */
  miss() {
    this.#chart.add(null);
  }

  forget() {
    this.#peak = 0;
    this.#chart.forget();
    for (const id of ["total", "active", "peak", "people"]) write(at(id), "–");
    for (const id of ["as-of", "warming"]) write(at(id), "");
  }
}
