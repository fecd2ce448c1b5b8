/** A picture that is a table: cells coloured by five levels, each with its value for hover, keyboard and screen reader. */

import { element, write } from "../dom.js";

const LEVELS = 5;

/** @typedef {{value: number | null, text: string}} Cell */
/** @typedef {{caption: string, corner: string, columns: {short: string, title: string}[], rows: {short: string, title: string, cells: Cell[]}[],
 *   now?: [number, number]}} Heat `now`: row and column of the present */

export class HeatGrid {
  /** @type {HTMLElement[][]} */ #cells = [];
  /** @type {Heat | null} */ #shown = null;
  #shape = "";
  #at = [0, 0];

  /** @param {HTMLTableElement} table @param {HTMLElement} readout where the value under pointer or focus is written */
  constructor(table, readout) {
    this.table = table;
    this.readout = readout;
    table.addEventListener("pointerover", (event) => this.#read(this.#place(event.target)));
    table.addEventListener("focusin", (event) => this.#read(this.#place(event.target)));
    table.addEventListener("pointerleave", () => write(readout, ""));
    table.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** @param {Heat} heat */
  show(heat) {
    this.#shown = heat;
    const shape = JSON.stringify([heat.columns, heat.rows.map(({ short, title }) => [short, title])]);
    if (shape !== this.#shape) this.#build(heat);
    this.#shape = shape;
    const level = levels(heat.rows.flatMap(({ cells }) => cells.map(({ value }) => value)));
    heat.rows.forEach(({ cells }, row) => cells.forEach((cell, column) => this.#fill(this.#cells[row][column], cell, level)));
    for (const old of this.table.querySelectorAll("[aria-current]")) old.removeAttribute("aria-current");
    if (heat.now) this.#cells[heat.now[0]]?.[heat.now[1]]?.setAttribute("aria-current", "time");
  }

  /** @param {HTMLElement} made @param {Cell} cell @param {(value: number) => number} level */
  #fill(made, { value, text }, level) {
    made.dataset.level = value === null ? "unknown" : String(level(value));
    write(/** @type {Element} */ (made.firstElementChild), text);
  }

  /** @param {Heat} heat */
  #build({ caption, corner, columns, rows }) {
    const head = element("tr");
    const first = header("col", "", corner);
    first.className = "corner";
    head.append(first, ...columns.map(({ short, title }) => header("col", short, title)));
    const top = element("thead");
    top.append(head);
    const body = element("tbody");
    this.#at = [0, 0];
    this.#cells = rows.map(({ cells }) => cells.map(() => cellOf()));
    this.#cells[0]?.[0]?.setAttribute("tabindex", "0");
    body.append(
      ...rows.map(({ short, title }, index) => {
        const row = element("tr");
        row.append(header("row", short, title), ...this.#cells[index]);
        return row;
      }),
    );
    this.table.replaceChildren(element("caption", "unseen", caption), top, body);
  }

  /** @param {EventTarget | null} target @returns {[number, number] | null} */
  #place(target) {
    const cell = /** @type {HTMLElement} */ (target).closest?.("td");
    const row = this.#cells.findIndex((cells) => cell && cells.includes(cell));
    return cell && row >= 0 ? [row, this.#cells[row].indexOf(cell)] : null;
  }

  /** @param {[number, number] | null} place */
  #read(place) {
    if (!place || !this.#shown) return;
    const { rows, columns } = this.#shown;
    write(this.readout, `${rows[place[0]].title}, ${columns[place[1]].title}: ${rows[place[0]].cells[place[1]].text}`);
  }

  /** One stop for the tab key; arrows go from cell to cell. @param {KeyboardEvent} event */
  #onKey(event) {
    const [row, column] = this.#place(event.target) ?? this.#at;
    const width = this.#cells[row]?.length ?? 0;
    const next = { ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], Home: [row, 0], End: [row, width - 1] }[event.key];
    const cell = next && this.#cells[next[0]]?.[next[1]];
    if (!next || !cell) return;
    event.preventDefault();
    this.#cells[this.#at[0]]?.[this.#at[1]]?.setAttribute("tabindex", "-1");
    this.#at = next;
    cell.setAttribute("tabindex", "0");
    cell.focus();
  }
}

/** What is seen may be short, or nothing; what is read aloud is whole. @param {"col" | "row"} scope @param {string} text @param {string} title */
function header(scope, text, title) {
  const [made, seen] = [element("th"), element("span", "", text)];
  made.scope = scope;
  made.title = title;
  seen.setAttribute("aria-hidden", "true");
  made.append(seen, element("span", "unseen", title));
  return made;
}

function cellOf() {
  const made = element("td");
  made.append(element("span", "unseen"));
  made.tabIndex = -1;
  return made;
}

/** By rank and not by size, so that one crowd does not make all else look empty. 0 = nobody.
 * @param {(number | null)[]} values @returns {(value: number) => number} */
export function levels(values) {
  const sorted = /** @type {number[]} */ (values.filter((value) => value !== null && value > 0)).sort((a, b) => a - b);
  const bounds = Array.from({ length: LEVELS - 1 }, (_, index) => sorted[Math.floor((sorted.length * (index + 1)) / LEVELS)] ?? Infinity);
  return (value) => (value > 0 ? 1 + bounds.filter((bound) => value >= bound && bound < Infinity).length : 0);
}
