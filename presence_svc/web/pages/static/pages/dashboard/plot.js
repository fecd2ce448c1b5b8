/** What the charts share: colours that a canvas understands, axes in the reader's locale, hatching for what is not known. */

import { clock, date, day, number } from "../format.js";

/** uPlot, a vendored classic script that runs before the modules. */
export const Plot = /** @type {any} */ (globalThis).uPlot;

/** The width of a time in px: half of the last one stands beside the picture. */
export const LABEL = 60;

const MINUTES = [1, 2, 5, 10, 30, 60, 120, 180, 240, 360, 720];
const DAYS = [1, 2, 4, 7, 14].map((n) => n * 1_440);

/** @typedef {Record<"live" | "soft" | "line" | "ink" | "card", string>} Colours */

/** The theme's colours with light-dark() resolved: a canvas does not know it. @param {HTMLElement} host @returns {Colours} */
export function colours(host) {
  const probe = host.appendChild(document.createElement("i"));
  const found = ["live", "soft", "line", "ink", "card"].map((name) => {
    probe.style.color = `var(--${name})`;
    return [name, getComputedStyle(probe).color];
  });
  probe.remove();
  const inks = /** @type {Colours} */ (Object.fromEntries(found));
  return matchMedia("(forced-colors: active)").matches ? { ...inks, line: pale(inks.line, 0.25) } : inks; // no system colour is faint
}

/** @param {string} colour `rgb(...)` or, by some systems, `rgba(...)` @param {number} alpha */
export const pale = (colour, alpha) => `rgba(${(colour.match(/[\d.]+/g) ?? []).slice(0, 3).join()}, ${alpha})`;

/** @param {Colours} colours @param {boolean} byDay */
export function axes({ soft, line }, byDay) {
  const shared = { stroke: soft, font: "12px system-ui, sans-serif", ticks: { show: false } };
  const times = (/** @type {unknown} */ _, /** @type {number[]} */ splits) => splits.map((s, i) => tick(s * 1000, (splits[i - 1] ?? 0) * 1000, byDay));
  const whole = (/** @type {unknown} */ _, /** @type {number[]} */ splits) => splits.map((n) => (Number.isInteger(n) ? number(n) : null));
  const width = (/** @type {unknown} */ _, /** @type {(string | null)[] | null} */ texts) => Math.max(46, ...(texts ?? []).map((text) => 14 + 7 * (text?.length ?? 0)));
  return [
    { ...shared, grid: { show: false }, size: 28, space: 70, values: times, incrs: (byDay ? DAYS : MINUTES).map((n) => n * 60) },
    { ...shared, grid: { stroke: line, width: 1 }, size: width, values: whole },
  ];
}

/** @param {number} ms @param {number} before @param {boolean} byDay */
function tick(ms, before, byDay) {
  if (!byDay) return clock(ms);
  return date(ms) === date(before) ? "" : date(ms);
}

/** @param {number} ms @param {string} step */
export const stepName = (ms, step) => (step === "1d" ? day(ms) : `${day(ms)}, ${clock(ms)}`);

/**
 * Fills stretches of time with slanted lines, over the whole height.
 * @param {any} plot uPlot's @param {[number, number][]} stretches in s @param {string} colour
 */
export function hatch(plot, stretches, colour) {
  const { ctx, bbox } = plot;
  const tile = document.createElement("canvas");
  const side = 8 * devicePixelRatio;
  tile.width = tile.height = side;
  const pen = /** @type {CanvasRenderingContext2D} */ (tile.getContext("2d"));
  pen.strokeStyle = colour;
  pen.lineWidth = devicePixelRatio;
  for (const shift of [-side, 0, side]) {
    pen.moveTo(shift, side);
    pen.lineTo(shift + side, 0);
  }
  pen.stroke();
  ctx.save();
  ctx.fillStyle = ctx.createPattern(tile, "repeat");
  for (const [from, to] of stretches) {
    const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
    const right = Math.min(bbox.left + bbox.width, plot.valToPos(to, "x", true));
    if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
  }
  ctx.restore();
}

/** The live edge: a dot where it is now. @param {any} plot @param {number} x s @param {number} y @param {Colours} colours */
export function dot(plot, x, y, { live, card }) {
  const { ctx } = plot;
  ctx.save();
  ctx.setLineDash([]); // of the last series
  ctx.beginPath();
  ctx.arc(plot.valToPos(x, "x", true), plot.valToPos(y, "y", true), 4.5 * devicePixelRatio, 0, 2 * Math.PI);
  Object.assign(ctx, { fillStyle: live, strokeStyle: card, lineWidth: 2 * devicePixelRatio });
  ctx.fill();
  ctx.stroke();
  ctx.restore();
}
