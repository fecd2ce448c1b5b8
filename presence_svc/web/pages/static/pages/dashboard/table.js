/** The numbers behind a picture, as a table that is filled when somebody opens it. */

import { element } from "../dom.js";

/** @typedef {{caption: string, columns: string[], rows: string[][]}} Numbers */

export class Behind {
  /** @type {(() => Numbers) | null} */ #numbers = null;

  /** @param {HTMLDetailsElement} details */
  constructor(details) {
    this.details = details;
    details.addEventListener("toggle", () => this.#draw());
    matchMedia("print").addEventListener("change", () => this.#draw());
  }

  /** @param {() => Numbers} numbers */
  show(numbers) {
    this.#numbers = numbers;
    this.#draw();
  }

  /** Rows that are there stay, so that reading on is not disturbed. */
  #draw() {
    if (!this.details.open || !this.#numbers) return;
    const { caption, columns, rows } = this.#numbers();
    const table = this.details.querySelector("table");
    if (!table) return;
    if (!table.tHead) table.append(element("caption", "unseen"), element("thead"), element("tbody"));
    const [head, body] = [/** @type {HTMLElement} */ (table.tHead), table.tBodies[0]];
    /** @type {HTMLElement} */ (table.caption).textContent = caption;
    head.replaceChildren(line("th", columns, "col"));
    rows.forEach((cells, index) => {
      const old = body.rows[index];
      if (!old) body.append(line("td", cells, ""));
      else if ([...old.cells].map((cell) => cell.textContent).join("\t") !== cells.join("\t")) old.replaceWith(line("td", cells, ""));
    });
    while (body.rows.length > rows.length) body.rows[rows.length].remove();
  }
}

/** The first cell of a row says what the row is. @param {"th" | "td"} tag @param {string[]} cells @param {string} scope */
function line(tag, cells, scope) {
  const row = element("tr");
  row.append(
    ...cells.map((text, index) => {
      const cell = element(index ? tag : "th", "", text);
      if (cell.tagName === "TH") cell.scope = scope || "row";
      return cell;
    }),
  );
  return row;
}
