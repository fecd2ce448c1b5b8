/** The chosen course as it is now: its number over a stream, its chapters, and who is there. */

import { PresenceSession } from "../../../live-viewer-badge.js";
import { course, key, read } from "../api.js";
import { at, element, face, keep, write } from "../dom.js";
import { number } from "../format.js";
import { chapterOf, chaptersOf } from "./titles.js";

const EVERY = 2_000;
const NAMES = 60;

/** @typedef {{viewer_id: string, name: string | null, chapters: string[], joined_at: number, expires_at: number}} Viewer */
/** @typedef {import("../../../src/shared/types.js").Count} Count */

export class CourseNow {
  /** @type {PresenceSession | null} */ #session = null;
  /** @type {Map<string, Viewer>} */ #viewers = new Map();
  #id = "";
  /** By a clock that nobody sets. */ #askedAt = -EVERY;
  #timer = 0;

  /** @param {(count: Count) => void} onCount */
  constructor(onCount) {
    this.onCount = onCount;
    setInterval(() => this.#id && !document.hidden && this.#askNames(), 5 * EVERY);
  }

  /** @param {string} id */
  choose(id) {
    this.#id = id;
    this.#viewers.clear();
    this.#askedAt = -EVERY;
    for (const list of [at("viewers"), at("heat")]) list.replaceChildren();
    for (const text of [at("detail-total"), at("rest")]) write(text, "");
    if (this.#session) return this.#session.update({ courseId: id });
    const options = { courseId: id, observe: true, chapters: true, getToken: key() ? () => key() : undefined };
    this.#session = new PresenceSession(options);
    this.#session.subscribe((snapshot) => this.#show(snapshot));
  }

  forget() {
    this.#session?.leave();
    this.#session = null;
    this.#id = "";
    this.#viewers.clear();
    at("viewers").replaceChildren();
  }

  /** @param {import("../../../src/shared/types.js").Snapshot} snapshot */
  #show({ count }) {
    if (!count || count.course_id !== this.#id) return;
    write(at("detail-total"), count.warming && !count.total ? "counting…" : `${number(count.total)} watching`);
    const given = chaptersOf(this.#id);
    const others = Object.keys(count.chapters).filter((id) => !given.includes(id));
    const chapters = [...given, ...others.sort((a, b) => a.localeCompare(b, "en", { numeric: true }))];
    const hottest = Math.max(1, ...Object.values(count.chapters));
    keep(at("heat"), chapters, (id) => id, makeCell, (cell, id) => this.#updateCell(cell, id, count.chapters[id] ?? 0, hottest));
    at("no-chapters").hidden = chapters.length > 0;
    this.onCount(count);
    this.#askNames();
  }

  /** @param {HTMLElement} cell @param {string} id @param {number} count @param {number} hottest */
  #updateCell(cell, id, count, hottest) {
    const title = chapterOf(this.#id, id);
    cell.title = `${title}: ${number(count)} watching`;
    cell.style.setProperty("--heat", String(Math.sqrt(count / hottest)));
    write(cell.children[0], number(count));
    write(cell.children[1], title);
  }

  /** The names, asked for again after a change, but not at each of a busy course's changes. */
  async #askNames() {
    const wait = this.#askedAt + EVERY - performance.now();
    clearTimeout(this.#timer);
    if (wait > 0) {
      this.#timer = window.setTimeout(() => this.#askNames(), wait);
      return;
    }
    this.#askedAt = performance.now();
    const id = this.#id;
    const page = await read(course(id, "viewers"), { limit: NAMES }).catch(() => null);
    if (page && id === this.#id) this.#showNames(page);
  }

  /**
   * In the order of joining. Whoever is shown stays until they leave, also when others have been heard of more lately.
   * @param {{viewers: Viewer[], named: number, anonymous: number, next_cursor: string | null}} page
   */
  #showNames({ viewers, named, anonymous, next_cursor: next }) {
    const heard = new Map(viewers.map((one) => [one.viewer_id, one]));
    const now = Math.max(0, ...viewers.map((one) => one.joined_at));
    const isThere = (/** @type {Viewer} */ one) => heard.has(one.viewer_id) || (next !== null && one.expires_at > now);
    const stay = [...this.#viewers.values()].filter(isThere).map((one) => heard.get(one.viewer_id) ?? one);
    const come = viewers.filter((one) => !this.#viewers.has(one.viewer_id)).slice(0, NAMES - stay.length);
    const shown = [...stay, ...come].sort((a, b) => a.joined_at - b.joined_at || (a.viewer_id < b.viewer_id ? -1 : 1));
    this.#viewers = new Map(shown.map((one) => [one.viewer_id, one]));
    keep(at("viewers"), shown, (one) => one.viewer_id, makePerson, (item, one) => this.#updatePerson(item, one));
    const more = named - shown.length;
    const rest = [more > 0 && `${number(more)} more`, anonymous && `${number(anonymous)} anonymous`];
    write(at("rest"), rest.filter(Boolean).join(" · "));
  }

  /** @param {HTMLElement} item @param {Viewer} viewer */
  #updatePerson(item, viewer) {
    const minutes = Math.max(0, Math.floor((Date.now() - viewer.joined_at) / 60_000));
    const [picture, who, since] = item.children;
    const made = face(viewer);
    if (made.textContent !== picture.textContent) picture.replaceWith(made);
    write(who.children[0], viewer.name || viewer.viewer_id);
    write(who.children[1], viewer.chapters.map((id) => chapterOf(this.#id, id)).join(", "));
    write(since, minutes ? `${number(minutes)} min` : "now");
  }
}

/** @param {string} _id */
function makeCell(_id) {
  const cell = element("li", "cell");
  cell.append(element("b"), element("span"));
  return cell;
}

/** @param {Viewer} viewer */
function makePerson(viewer) {
  const [item, who] = [element("li"), element("span", "who")];
  who.append(element("bdi"), element("span", "small soft"));
  item.append(face(viewer), who, element("span", "small soft number for"));
  return item;
}
