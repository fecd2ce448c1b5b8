/** The rolling chart: what this page has seen itself, at most ten minutes of it. Time goes by the page's own clock. */

import { number, seconds } from "../format.js";
import { LABEL, Plot, axes, colours, dot, pale } from "./plot.js";

const KEEP = 600; // seconds
const SHORTEST = 120; // of the axis, so that the first values are no wall

export class NowChart {
  /** @type {[number[], (number | null)[]]} */ #points = [[], []];
  /** @type {any} */ #plot = null;
  /** The moment that the keyboard is at, in s; 0 for none. */ #at = 0;

  /** @param {HTMLElement} host @param {(text: string) => void} say says what the cursor is at */
  constructor(host, say) {
    this.host = host;
    this.say = say;
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(host);
    addEventListener("themechange", () => this.#plot && this.#draw());
    host.addEventListener("keydown", (event) => this.#onKey(event));
    for (const event of ["pointermove", "blur"]) host.addEventListener(event, () => (this.#at = 0));
  }

  /** Adds a value; null is a gap: nothing was known then. @param {number | null} value */
  add(value) {
    const [times, values] = this.#points;
    const now = Date.now() / 1000;
    times.push(now);
    values.push(value);
    while (times[0] < now - KEEP) {
      times.shift();
      values.shift();
    }
    if (this.#plot) this.#plot.setData(this.#points);
    else if (this.host.clientWidth) this.#draw();
    const known = values.filter((one) => one !== null);
    this.host.setAttribute("aria-label", `Viewers in the last minutes: ${known.length ? `from ${number(Math.min(...known))} to ${number(Math.max(...known))}` : "not known"}`);
  }

  /** The latest moment of the picture, in s. One point alone is a day to uPlot. */
  get #now() {
    return this.#points[0].at(-1) ?? 0;
  }

  /** What it has seen, for the table behind it. */
  get points() {
    return this.#points;
  }

  /** The picture moves on under a pointer that rests; the keyboard stays at its moment. */
  #point() {
    if (this.#at) this.#plot.setCursor({ left: this.#plot.valToPos(this.#at, "x"), top: 10 });
  }

  forget() {
    this.#at = 0;
    this.#points = [[], []];
    this.#plot?.destroy();
    this.#plot = null;
  }

  #size() {
    return { width: this.host.clientWidth, height: this.host.clientHeight };
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const way = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!way || !this.#plot) return;
    event.preventDefault();
    const [times] = this.#points;
    const index = Math.max(0, Math.min(times.length - 1, (this.#plot.cursor.idx ?? times.length) + way));
    this.#at = times[index];
    this.#point();
  }

  /** @param {number | null | undefined} index */
  #read(index) {
    const [times, values] = this.#points;
    const value = values[index ?? -1];
    this.say(index === null || index === undefined ? "" : `${seconds(times[index] * 1000)}: ${value === null ? "not known" : `${number(value)} watching`}`);
  }

  /** Colours cannot be changed later, so another theme is another chart. */
  #draw() {
    const inks = colours(this.host);
    const range = () => [Math.min(this.#points[0][0], this.#now - SHORTEST), this.#now];
    this.#plot?.destroy();
    this.#plot = new Plot(
      {
        ...this.#size(),
        padding: [12, LABEL / 2, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
        scales: { x: { range }, y: { range: { min: { soft: 0, mode: 1 }, max: { pad: 0.15, soft: 4, mode: 1 } } } },
        axes: axes(inks, false),
        series: [{}, { stroke: inks.live, width: 2, fill: pale(inks.live, 0.12), points: { show: false }, paths: Plot.paths.stepped({ align: 1 }) }],
        hooks: {
          draw: [(/** @type {any} */ plot) => this.#edge(plot, inks), () => this.#point()],
          setCursor: [(/** @type {any} */ plot) => this.#read(plot.cursor.idx)],
        },
      },
      this.#points,
      this.host,
    );
  }

  /** @param {any} plot @param {import("./plot.js").Colours} inks */
  #edge(plot, inks) {
    const [times, values] = this.#points;
    const [x, y] = [times.at(-1), values.at(-1)];
    if (x !== undefined && y !== null && y !== undefined) dot(plot, x, y, inks);
  }
}
