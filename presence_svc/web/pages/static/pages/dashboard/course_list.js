/** The courses, the busiest first: searched, by pages, brought up to date in place. */

import { post, read } from "../api.js";
import { at, element, keep, write } from "../dom.js";
import { number } from "../format.js";
import { learn, search, titleOf } from "./titles.js";

const PAGE = 50;
const OWN = 500; // courses that a creator sees at once
const PAUSE = 250; // ms of typing

/** @typedef {{course_id: string, total: number}} Course */
/** @typedef {import("./totals.js").Stats & {top: Course[], page?: Course[] | null, next_cursor?: string | null}} Found */

export class CourseList {
  #text = "";
  /** Where the pages begin; the last is shown. @type {string[]} */ #cursors = [""];
  #next = "";
  #typing = 0;
  #asked = 0;
  /** @type {string[]} */ #byTitle = [];
  /** The courses of somebody who may not see all. @type {string[] | null} */ own = null;

  /** @param {{onChoose: (id: string) => void, onAsk: () => void}} handlers */
  constructor({ onChoose, onAsk }) {
    this.onAsk = onAsk;
    this.chosen = "";
    at("courses").addEventListener("click", (event) => {
      const row = /** @type {HTMLElement} */ (event.target).closest("[data-course]");
      if (row instanceof HTMLElement) onChoose(row.dataset.course ?? "");
    });
    at("search").addEventListener("input", () => this.#type());
    at("search-form").addEventListener("submit", (event) => event.preventDefault());
    at("next-page").addEventListener("click", () => this.#turn([...this.#cursors, this.#next]));
    at("previous-page").addEventListener("click", () => this.#turn(this.#cursors.slice(0, -1)));
  }

  /** @returns {Promise<Found | null>} null when what it brought is no longer what is asked for */
  async ask() {
    const asked = (this.#asked += 1);
    const found = this.own ? await this.#ofOwn(this.own) : await read("v1/stats", this.#query());
    const rows = await this.#rows(found);
    if (asked !== this.#asked) return null;
    this.#show(rows, found);
    return found;
  }

  /** @param {string} id */
  mark(id) {
    this.chosen = id;
    for (const row of at("courses").querySelectorAll("[data-course]")) {
      row.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (row).dataset.course === id));
    }
  }

  forget() {
    this.#asked += 1;
    this.own = null;
    this.#cursors = [""];
    at("courses").replaceChildren();
  }

  #query() {
    return { q: this.#text || undefined, limit: PAGE, cursor: this.#cursors.at(-1) || undefined };
  }

  /** The numbers of one's own courses, in the form of `/v1/stats`. @param {string[]} own @returns {Promise<Found>} */
  async #ofOwn(own) {
    await learn(own);
    const { counts } = await post("v1/counts", { course_ids: own.slice(0, OWN), chapters: "none" });
    const all = /** @type {import("../../../src/shared/types.js").Count[]} */ (counts).sort((a, b) => b.total - a.total);
    const text = this.#text.toLowerCase();
    const wanted = all.filter(({ course_id: id }) => `${id}\n${titleOf(id)}`.toLowerCase().includes(text));
    const from = Number(this.#cursors.at(-1)) || 0;
    return {
      total: all.reduce((sum, one) => sum + one.total, 0),
      courses: all.filter((one) => one.total).length,
      top: all.slice(0, PAGE),
      page: wanted.slice(from, from + PAGE),
      next_cursor: from + PAGE < wanted.length ? String(from + PAGE) : null,
      warming: all.some((one) => one.warming),
      as_of: Math.max(...all.map((one) => one.as_of)),
    };
  }

  /** Courses whose id has the text, and before them those whose title has it. @param {Found} found @returns {Promise<Course[]>} */
  async #rows(found) {
    const page = found.page ?? found.top;
    const isFirst = this.#cursors.length === 1;
    const rest = this.#byTitle.filter((id) => !page.some((one) => one.course_id === id));
    const titled = isFirst && rest.length ? (await read("v1/counts", { course_id: rest })).counts : [];
    await learn(page.map((one) => one.course_id));
    return [...titled, ...page].sort((a, b) => b.total - a.total);
  }

  /** @param {Course[]} rows @param {Found} found */
  #show(rows, found) {
    const most = Math.max(1, ...rows.map((one) => one.total));
    keep(at("courses"), rows, (one) => one.course_id, makeRow, (item, one) => this.#update(item, one, most));
    this.#next = found.next_cursor ?? "";
    at("pages").hidden = !this.#next && this.#cursors.length === 1;
    at("next-page").toggleAttribute("disabled", !this.#next);
    at("previous-page").toggleAttribute("disabled", this.#cursors.length === 1);
    write(at("page-number"), `Page ${number(this.#cursors.length)}`);
    const nothing = this.#text ? `No course has “${this.#text}” in its id or title.` : "Nobody is watching anything at the moment.";
    write(at("nobody"), rows.length ? "" : nothing);
  }

  /** @param {HTMLElement} item @param {Course} course @param {number} most */
  #update(item, { course_id: id, total }, most) {
    const button = /** @type {HTMLElement} */ (item.firstElementChild);
    const [name, count] = button.children;
    const title = titleOf(id);
    write(/** @type {Element} */ (name.firstElementChild), title);
    write(/** @type {Element} */ (name.lastElementChild), title === id ? "" : id);
    write(count, number(total));
    button.style.setProperty("--share", String(total / most));
    button.title = `${title}: ${number(total)} watching`;
    button.setAttribute("aria-pressed", String(id === this.chosen));
  }

  #type() {
    clearTimeout(this.#typing);
    this.#typing = window.setTimeout(async () => {
      this.#text = /** @type {HTMLInputElement} */ (at("search")).value.trim();
      const text = this.#text;
      const found = this.own ? [] : await search(text, AbortSignal.timeout(5_000)).catch(() => []);
      if (text === this.#text) this.#byTitle = found;
      this.#turn([""]);
    }, PAUSE);
  }

  /** @param {string[]} cursors */
  #turn(cursors) {
    this.#cursors = cursors;
    at("courses").scrollTop = 0;
    this.onAsk();
  }
}

/** @param {Course} course */
function makeRow({ course_id: id }) {
  const [item, button, name] = [element("li"), element("button", "row"), element("span", "name")];
  name.append(element("bdi"), element("small", "soft"));
  button.append(name, element("span", "number"));
  button.type = "button";
  button.dataset.course = id;
  item.append(button);
  return item;
}
