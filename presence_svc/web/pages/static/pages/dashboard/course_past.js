/** The chosen course as it was: today, 7 and 28 days, beside what they were before, and when it is watched. */

import { Failed, course, save } from "../api.js";
import { at, element, write } from "../dom.js";
import { asHours, change, clock, decimal, moment, number, weekday, zone } from "../format.js";
import { CalendarPicture } from "./calendar.js";
import { ChaptersPicture } from "./chapters.js";
import { RANGES, growth, query, span, steps, summary } from "./history.js";
import { stepName } from "./plot.js";
import { RangeChart, inWords } from "./range_chart.js";
import { Behind } from "./table.js";

/** @typedef {import("./history.js").Range} Range */
/** @typedef {import("./history.js").Steps} Steps */

const EVERY = 60_000;
const PAUSE = 1_000; // between two pictures, however often the number changes
const OFF = "This service keeps no history (PRESENCE_HISTORY=off): only the present can be shown.";

export class CoursePast {
  #chart = new RangeChart(at("past-chart"), (text) => write(at("past-readout"), text));
  #table = new Behind(at("past-table"));
  #calendar = new CalendarPicture();
  #chapters = new ChaptersPicture();
  #id = "";
  /** @type {Range} */ #range = "today";
  #isCompared = false;
  /** @type {number | null} */ #total = null;
  /** @type {{today: Steps, shown: Steps, before: Steps} | null} */ #found = null;
  #flight = new AbortController();
  #seenAt = 0;
  #timer = 0;
  #isKept = true;

  constructor() {
    at("ranges").addEventListener("change", (event) => this.#choose(/** @type {HTMLInputElement} */ (event.target).value));
    at("compare").addEventListener("click", () => this.#compare());
    at("csv").addEventListener("click", () => this.#save());
    setInterval(() => !document.hidden && this.#ask(), EVERY);
  }

  get range() {
    return this.#range;
  }

  /** @param {string} id @param {string} [range] */
  choose(id, range = this.#range) {
    this.forget();
    this.#id = id;
    this.#range = range in RANGES ? /** @type {Range} */ (range) : "today";
    for (const input of at("ranges").querySelectorAll("input")) input.checked = input.value === this.#range;
    this.#ask();
  }

  /** The number as it is now: the live edge. @param {number | null} total */
  now(total) {
    this.#total = total;
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#draw(), Math.max(0, this.#seenAt + PAUSE - performance.now()));
  }

  forget() {
    this.#flight.abort();
    clearTimeout(this.#timer);
    this.#id = "";
    this.#found = this.#total = null;
    this.#chart.clear();
    at("facts").replaceChildren();
    if (this.#isKept) write(at("past-note"), "");
  }

  /** @param {string} range */
  #choose(range) {
    const url = new URL(location.href);
    url.searchParams.set("range", range);
    history.replaceState(null, "", url);
    this.#range = /** @type {Range} */ (range);
    this.#found = null;
    this.#chart.clear();
    this.#ask();
  }

  async #ask() {
    if (!this.#id || !this.#isKept) return;
    this.#flight.abort();
    this.#flight = new AbortController();
    const [{ signal }, id, range] = [this.#flight, this.#id, this.#range];
    try {
      const today = steps(id, "today", { signal });
      const shown = range === "today" ? today : steps(id, range, { signal });
      const before = steps(id, range, { back: RANGES[range].back, signal });
      const found = await Promise.all([today, shown, before]);
      if (signal.aborted) return;
      this.#found = { today: found[0], shown: found[1], before: found[2] };
      this.#say("");
      this.#draw();
      await Promise.all([this.#calendar.show(id, signal), this.#chapters.show(id, range, signal)]);
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  /** @param {unknown} error */
  #fail(error) {
    const status = error instanceof Failed ? error.status : 0;
    this.#isKept = status !== 404;
    if (!this.#isKept) return this.#say(OFF, false);
    if (status === 401 || status === 403) return this.#say("History is for services and the course's creator: your key or token gives no access to it.", false);
    if (!this.#found) this.#say("History cannot be read at the moment. This page tries again every minute.");
  }

  /** One sentence instead of the pictures, or beside them. @param {string} text */
  #say(text, hasPictures = true) {
    write(at("past-note"), text);
    at("pictures").hidden = !hasPictures;
  }

  #draw() {
    if (!this.#found) return;
    this.#seenAt = performance.now();
    const { today, shown, before } = this.#found;
    const { from, to } = span(this.#range);
    const sums = summary(shown);
    this.#chart.show({ steps: shown, before: this.#isCompared ? before : null, from, to, now: Date.now(), total: this.#total });
    at("past-chart").setAttribute("aria-label", inWords(shown, RANGES[this.#range].title, sums));
    at("key-before").hidden = !this.#isCompared;
    write(at("key-before-name"), `average ${RANGES[this.#range].before}`);
    write(at("compare"), `Compare with ${RANGES[this.#range].compare}`);
    this.#facts(today, shown, before);
    this.#table.show(() => this.#numbers(shown, before));
  }

  /** @param {Steps} today @param {Steps} shown @param {Steps} before */
  #facts(today, shown, before) {
    const [day, sums, more] = [summary(today), summary(shown), growth(shown, before)];
    const peak = Math.max(day.peak ?? 0, this.#total ?? 0);
    const isNew = peak > (day.peak ?? 0);
    const { title, before: earlier } = RANGES[this.#range];
    const facts = [["Peak today", day.peak === null && !this.#total ? "–" : number(peak), isNew ? "now" : day.peak ? `from ${clock(day.peakAt)} on` : ""]];
    if (this.#range !== "today") facts.push([`Peak ${title}`, sums.peak === null ? "–" : number(Math.max(sums.peak, peak)), sums.peak ? (shown.step === "1d" ? stepName(sums.peakAt, "1d") : moment(sums.peakAt)) : ""]);
    facts.push([`Watched ${title}`, sums.peak === null ? "–" : asHours(sums.minutes), sums.isWhole ? "" : "at least: part of it is not known"]);
    const then = this.#range === "today" ? `last ${weekday(Date.now())}` : earlier;
    facts.push(["Change", more === null ? "–" : change(more), more === null ? `${earlier} is not known` : `since ${then}, up to this time`]);
    at("facts").replaceChildren(
      ...facts.map(([name, value, note]) => {
        const fact = element("div");
        fact.append(element("dt", "small soft", name), element("dd", "number", value), element("dd", "small soft", note));
        return fact;
      }),
    );
  }

  /** @param {Steps} shown @param {Steps} before @returns {import("./table.js").Numbers} */
  #numbers(shown, before) {
    const plain = (/** @type {number | null | undefined} */ value) => (value === null || value === undefined ? "not known" : decimal(value));
    const hasUnique = shown.unique.some((value) => value !== null);
    const columns = ["From", "Average", "Peak", "Viewer minutes", ...(hasUnique ? ["Different viewers, about"] : []), `Average ${RANGES[this.#range].before}`];
    const rows = shown.t.map((t, i) => [
      `${stepName(t, shown.step)}${shown.partial[i] && shown.peak[i] !== null ? (i === shown.t.length - 1 ? " (so far)" : " (at least)") : ""}`,
      ...[shown.average[i], shown.peak[i], shown.viewer_minutes[i], ...(hasUnique ? [shown.unique[i]] : []), before.average[i]].map(plain),
    ]);
    return { caption: `Viewers ${RANGES[this.#range].title}, times of ${zone}`, columns, rows: rows.reverse() };
  }

  #compare() {
    this.#isCompared = !this.#isCompared;
    at("compare").setAttribute("aria-pressed", String(this.#isCompared));
    this.#draw();
  }

  async #save() {
    const { step } = RANGES[this.#range];
    const name = `history-${this.#id.replace(/[^A-Za-z0-9_.-]/g, "_")}-${step}.csv`;
    const asked = { ...query(this.#range), format: "csv" };
    await save(course(this.#id, "history"), asked, name).catch(() => write(at("past-note"), "The file could not be fetched. Try again."));
  }
}
