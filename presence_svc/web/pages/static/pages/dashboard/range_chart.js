/** The picture of a stretch of days: the average as a line, in a band up to the peak, and where it is now. */

import { decimal, moment, number, seconds } from "../format.js";
import { LABEL, Plot, axes, colours, dot, hatch, pale, stepName } from "./plot.js";

/** @typedef {import("./history.js").Steps} Steps */
/** @typedef {{steps: Steps, before: Steps | null, from: number, to: number, now: number, total: number | null}} Picture */

export class RangeChart {
  /** @type {Picture | null} */ #shown = null;
  /** @type {any} */ #plot = null;

  /** @param {HTMLElement} host @param {(text: string) => void} say says what the cursor is at */
  constructor(host, say) {
    this.host = host;
    this.say = say;
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(host);
    addEventListener("themechange", () => this.#shown && this.#build());
    host.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** @param {Picture} picture */
  show(picture) {
    const isAnother = this.#shown?.from !== picture.from || this.#shown.to !== picture.to;
    this.#shown = picture;
    if (isAnother || !this.#plot) this.#build();
    else this.#plot.setData(this.#data());
  }

  clear() {
    this.#plot?.destroy();
    this.#plot = this.#shown = null;
  }

  #size() {
    return { width: this.host.clientWidth, height: this.host.clientHeight };
  }

  /** The step that runs ends now; those before end where the next begins. A dot of a day is no stair. */
  #data() {
    const { steps, before, now, to } = /** @type {Picture} */ (this.#shown);
    const last = steps.t.length - 1;
    const times = [...steps.t, Math.max(steps.t[last] ?? 0, Math.min(now, to))];
    const line = (/** @type {(number | null)[]} */ values) => [...values, values[last] ?? null];
    if (!before) return [times.map((t) => t / 1000), line(steps.peak), line(steps.average), times.map(() => null)];
    const later = before.t.slice(steps.t.length).map((_, index) => this.#later(index));
    const rest = [...later.map(() => null)];
    const earlier = [...before.average.slice(0, last + 1), before.average[last] ?? null, ...before.average.slice(last + 1)];
    const all = [...times, ...later];
    const was = all.map((_, index) => earlier[index] ?? null);
    return [all.map((t) => t / 1000), [...line(steps.peak), ...rest], [...line(steps.average), ...rest], was];
  }

  /** When a step begins that is still to come. @param {number} index */
  #later(index) {
    const { steps, to } = /** @type {Picture} */ (this.#shown);
    const length = { "15m": 900_000, "1h": 3_600_000, "1d": 86_400_000 }[steps.step] ?? 900_000;
    return Math.min(to, (steps.t.at(-1) ?? 0) + length * (index + 1));
  }

  /** @param {any} plot @param {string} colour */
  #hatch(plot, colour) {
    const { steps, now } = /** @type {Picture} */ (this.#shown);
    /** @type {[number, number][]} */ const stretches = [];
    steps.t.forEach((t, index) => {
      const isRunning = index === steps.t.length - 1;
      const end = (steps.t[index + 1] ?? now) / 1000;
      if (steps.peak[index] !== null && (isRunning || !steps.partial[index])) return;
      if (isRunning && steps.peak[index] !== null) return;
      const last = stretches.at(-1);
      if (last && last[1] === t / 1000) last[1] = end;
      else stretches.push([t / 1000, end]);
    });
    hatch(plot, stretches, colour);
  }

  /** The live edge is on the picture too, also before its minute is over. @param {number | null} max */
  #top(max) {
    return Math.max(4, (max ?? 0) * 1.1, (this.#shown?.total ?? 0) * 1.1);
  }

  /** Colours cannot be changed later, so another theme is another chart. */
  #build() {
    const { from, to, steps } = /** @type {Picture} */ (this.#shown);
    const inks = colours(this.host);
    const stepped = Plot.paths.stepped({ align: 1 });
    const line = { points: { show: false }, paths: stepped };
    this.#plot?.destroy();
    this.#plot = new Plot(
      {
        ...this.#size(),
        padding: [null, LABEL / 2, null, null],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
        scales: { x: { range: () => [from / 1000, to / 1000] }, y: { range: (/** @type {any} */ _, /** @type {number} */ _min, /** @type {number} */ max) => [0, this.#top(max)] } },
        axes: axes(inks, steps.step !== "15m"),
        bands: [{ series: [1, 2], fill: pale(inks.live, 0.2) }],
        series: [
          {},
          { ...line, stroke: pale(inks.live, 0.55), width: 1 },
          { ...line, stroke: inks.live, width: 2 },
          { ...line, stroke: inks.soft, width: 1.5, dash: [5, 4] },
        ],
        hooks: {
          drawAxes: [(/** @type {any} */ plot) => this.#hatch(plot, pale(inks.soft, 0.55))],
          draw: [(/** @type {any} */ plot) => this.#edge(plot, inks)],
          setCursor: [(/** @type {any} */ plot) => this.#read(plot.cursor.idx)],
        },
      },
      this.#data(),
      this.host,
    );
  }

  /** @param {any} plot @param {import("./plot.js").Colours} inks */
  #edge(plot, inks) {
    const { total, now, to } = /** @type {Picture} */ (this.#shown);
    if (total !== null && now < to) dot(plot, now / 1000, total, inks);
  }

  /** @param {number | null | undefined} index of a time */
  #read(index) {
    const { steps, before, total, now } = /** @type {Picture} */ (this.#shown);
    if (index === null || index === undefined) return this.say("");
    const last = steps.t.length;
    if (index === last && total !== null) return this.say(`Now, ${seconds(now)}: ${number(total)} watching`);
    const was = before?.average[index > last ? index - 1 : index] ?? null;
    const earlier = was === null ? "" : ` · before: average ${decimal(was)}`;
    if (index >= last) return this.say(`Still to come${earlier}`);
    const [peak, average] = [steps.peak[index], steps.average[index]];
    const said = peak === null ? "not known" : `average ${decimal(average ?? 0)}, peak ${number(peak)}`;
    const hint = steps.partial[index] && peak !== null ? (index === last - 1 ? " so far" : ", at least") : "";
    this.say(`${stepName(steps.t[index], steps.step)}: ${said}${hint}${earlier}`);
  }

  /** Arrow keys move the cursor from step to step. @param {KeyboardEvent} event */
  #onKey(event) {
    const way = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!way || !this.#plot) return;
    event.preventDefault();
    const end = /** @type {Picture} */ (this.#shown).steps.t.length;
    const index = Math.max(0, Math.min(end, (this.#plot.cursor.idx ?? end) + way));
    this.#plot.setCursor({ left: this.#plot.valToPos(this.#plot.data[0][index], "x"), top: 10 });
  }
}

/** The picture in words. @param {Steps} steps @param {string} title @param {{peak: number | null, peakAt: number, minutes: number}} sums */
export function inWords(steps, title, { peak, peakAt }) {
  if (peak === null) return `Viewers ${title}: nothing is known yet`;
  const when = steps.step === "1d" ? stepName(peakAt, "1d") : moment(peakAt);
  return `Viewers ${title}: at most ${number(peak)}, on ${when}. Arrow keys read it step by step; the same numbers are in the table below.`;
}
