/** The numbers over all courses. */

import { at, write } from "../dom.js";
import { number, seconds } from "../format.js";
import { NowChart } from "./now_chart.js";

/** @typedef {{total: number, courses: number, as_of: number, people?: number | null, exact?: boolean, bound_s?: number | null,
 *   warming?: boolean}} Stats */

export class Totals {
  #chart = new NowChart(at("all-chart"), (text) => write(at("all-readout"), text));
  #peak = 0;

  /** @param {Stats} stats */
  show({ total, courses, as_of: asOf, people, exact, bound_s: bound, warming }) {
    this.#peak = Math.max(this.#peak, total);
    this.#chart.add(warming ? null : total);
    for (const [id, value] of Object.entries({ total, active: courses, peak: this.#peak })) write(at(id), warming ? "counting…" : number(value));
    at("people-tile").hidden = people === null || people === undefined;
    write(at("people"), warming ? "counting…" : number(people ?? 0));
    write(at("people-note"), exact === false && bound ? `right within ${number(bound)} s` : "each counted once");
    write(at("warming"), warming ? "The service has only begun: viewers are still being counted. This takes about a minute." : "");
    write(at("as-of"), `as of ${seconds(asOf)}`);
    at("board").classList.toggle("is-warming", Boolean(warming));
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
