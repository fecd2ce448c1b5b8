/** The rolling chart of the dashboard: what this page has seen itself, at most ten minutes of it. */

/* global uPlot */

const KEEP = 600; // seconds

export class RollingChart {
  /** @type {[number[], (number | null)[]]} */ #points = [[], []];
  /** @type {any} */ #plot = null;

  /** @param {HTMLElement} host */
  constructor(host) {
    this.host = host;
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(host);
    addEventListener("themechange", () => this.#draw());
  }

  get peak() {
    return Math.max(0, ...this.#points[1].map((value) => value ?? 0));
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
  }

  #size() {
    return { width: this.host.clientWidth, height: this.host.clientHeight };
  }

  /** At least two minutes, so that the first values are no wall. @param {number} min @param {number} max */
  #range(min, max) {
    return [Math.min(min, max - 120), max];
  }

  /** Colours cannot be changed later, so another theme is another chart. */
  #draw() {
    const style = getComputedStyle(document.documentElement);
    const probe = this.host.appendChild(document.createElement("i"));
    const colour = (/** @type {string} */ name) => {
      probe.style.color = style.getPropertyValue(name);
      return getComputedStyle(probe).color; // light-dark() resolved: a canvas knows it not
    };
    const [live, soft, line] = ["--live", "--soft", "--line"].map(colour);
    probe.remove();
    const axis = { stroke: soft, font: "12px system-ui, sans-serif", ticks: { show: false } };
    const whole = (/** @type {unknown} */ _, /** @type {number[]} */ splits) => splits.map((n) => (Number.isInteger(n) ? n : null));
    this.#plot?.destroy();
    // @ts-ignore a classic script, vendored
    this.#plot = new uPlot(
      {
        ...this.#size(),
        legend: { show: false },
        cursor: { y: false, points: { size: 7 } },
        scales: { x: { range: (/** @type {any} */ _, /** @type {number} */ a, /** @type {number} */ b) => this.#range(a, b) }, y: { range: { min: { soft: 0, mode: 1 }, max: { pad: 0.15, soft: 4, mode: 1 } } } },
        axes: [{ ...axis, grid: { show: false }, space: 90 }, { ...axis, grid: { stroke: line, width: 1 }, size: 44, values: whole }],
        series: [{}, { stroke: live, width: 2, fill: live.replace(/rgb\((.*)\)/, "rgba($1, 0.12)"), points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }],
      },
      this.#points,
      this.host,
    );
  }
}
