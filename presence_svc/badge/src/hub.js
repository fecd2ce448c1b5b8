/** One service on one page: all its courses over one stream, and what the page's own life means for them. */

import { isHidden } from "./checks.js";
import { Course } from "./course.js";
import { courseQuery, isRefusal, look } from "./reader.js";
import { Service } from "./service.js";
import { Stream } from "./stream.js";
import { HOLD, LOOK, LOST, UNSEEN } from "./wait.js";

const MAX_COURSES = 100; // that one stream carries

export class Hub {
  /** @type {Map<string, Hub>} */ static #all = new Map();
  /** @type {Map<string, Course>} */ courses = new Map();
  /** @type {import("./words.js").State} */ state = "connecting";
  #isAsleep = false;
  #areNamesRefused = false;
  #lookAfter = 0;
  /** @type {ReturnType<typeof setTimeout>[]} */ #lossTimers = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #sleepTimer;

  /** @param {string} [baseUrl] by default where this module came from; bundled into a page, where that came from */
  static at(baseUrl) {
    const page = globalThis.location?.href;
    const own = /^https?:/.test(import.meta.url) ? import.meta.url : page;
    const base = baseUrl ? new URL(baseUrl, page).href.replace(/\/+$/, "") : new URL(own).origin;
    const hub = Hub.#all.get(base) ?? new Hub(base);
    Hub.#all.set(base, hub);
    return hub;
  }

  /** @param {string} base */
  constructor(base) {
    this.service = new Service(base, (isSwitch) => this.#turn(isSwitch));
    this.stream = new Stream(this.service, {
      query: () => this.#query(),
      hear: (frame) => this.#hear(frame),
      opened: () => this.#found(),
      lost: (pause) => this.#lose(pause),
      failed: (error, failures) => this.#failed(error, failures),
    });
    const on = globalThis.addEventListener?.bind(globalThis) ?? (() => {});
    on("online", () => this.#wake());
    on("offline", () => this.#cut());
    on("pagehide", () => this.#suspend());
    on("pageshow", (event) => event.persisted && this.#restore());
    globalThis.document?.addEventListener("visibilitychange", () => this.#seen());
    this.#lose();
    this.#seen();
  }

  /** @param {string} id */
  course(id) {
    const course = this.courses.get(id) ?? new Course(this, id);
    this.courses.set(id, course);
    return course;
  }

  /** @param {import("./words.js").GetToken | undefined} getToken */
  authorize(getToken) {
    const isAnother = getToken && this.service.getToken;
    this.service.authorize(getToken);
    // A page may make a new function whenever it draws itself: not each is a reason to ask for a token.
    if (!isAnother || Date.now() < this.#lookAfter) return;
    this.#lookAfter = Date.now() + LOOK;
    this.service.identify().then(() => this.#retry(), () => {}); // what fails here fails again in the next request
  }

  /** The tokens are somebody else's from now on. @param {boolean} isSwitch somebody was signed in before */
  #turn(isSwitch) {
    this.#areNamesRefused = false;
    this.#retry();
    if (!isSwitch) return;
    for (const course of this.courses.values()) {
      course.viewers = null;
      for (const presence of course.presences.values()) presence.turn();
      course.notify();
    }
    this.stream.renew();
  }

  /** A heartbeat was answered: the service is there, so a stream that waits to try again need not. @param {Course} course */
  answered(course) {
    if (!this.stream.isWaiting || !this.stream.failures) return;
    look(this, [course.id]); // perhaps a proxy allows no stream at all: then this is what the number lives on
    this.stream.sync(0);
  }

  /** All courses, or those that were refused. */
  #ids(isRefused = false) {
    return [...this.courses].filter(([, { refusal }]) => isRefused === Boolean(refusal)).map(([id]) => id);
  }

  #query() {
    for (const [id, course] of this.courses) if (!course.isWatched) this.courses.delete(id);
    const ids = this.#ids();
    if (ids.length > MAX_COURSES) console.warn(`live-viewer-badge: only ${MAX_COURSES} courses of a page are live`);
    const sessions = [...this.courses.values()].flatMap((course) => [...course.sessions]);
    const viewers = Math.min(20, Math.max(0, ...sessions.map((session) => session.options.viewers ?? 0)));
    const names = viewers && !this.#areNamesRefused ? `&viewers=${viewers}` : "";
    return ids.length ? courseQuery(ids.slice(0, MAX_COURSES)) + names : "";
  }

  #hear(/** @type {import("./frames.js").Frame} */ { event, data }) {
    if (event !== "count" && event !== "viewers") return;
    const news = JSON.parse(data);
    const course = this.courses.get(news.course_id);
    if (!course) return;
    if (event === "viewers") course.viewers = news.viewers;
    if (event === "viewers") course.notify();
    else course.accept(news);
  }

  /** @param {Error & {status?: number}} error @param {number} failures */
  async #failed(error, failures) {
    const ids = this.#ids().slice(0, MAX_COURSES);
    if (isRefusal(error)) await look(this, ids);
    else if (failures > 1) look(this, ids);
    if (ids.some((id) => this.courses.get(id)?.refusal)) return; // they have said so, and the others go on without them
    // Numbers may be public where names are not: better the number alone than nothing.
    if (error.status === 401 || error.status === 403) this.#areNamesRefused = true;
    for (const course of this.courses.values()) course.notify(error);
  }

  /** @param {import("./words.js").State} state */
  #become(state) {
    if (state === this.state) return;
    this.state = state;
    for (const course of this.courses.values()) course.notify();
  }

  #found() {
    this.#calm();
    this.#become("live");
  }

  /** Perhaps the token of now opens what another one did not. */
  async #retry() {
    await look(this, this.#ids(true));
    this.stream.sync();
  }

  /** Nothing is live any more; said only when it lasts longer than planned. */
  #lose(pause = 0) {
    if (this.service.isTokenOver) this.#retry();
    if (this.#lossTimers.length) return;
    const stale = () => this.state === "live" && this.#become("stale");
    this.#lossTimers = [setTimeout(stale, pause + HOLD), setTimeout(() => this.#become("offline"), LOST)];
  }

  #calm() {
    this.#lossTimers.forEach(clearTimeout);
    this.#lossTimers = [];
  }

  #cut() {
    this.stream.drop("the browser is offline");
    this.#become("offline");
  }

  #beat() {
    for (const course of this.courses.values()) for (const presence of course.presences.values()) presence.beat();
  }

  #wake() {
    this.stream.resume();
    this.#beat();
  }

  #seen() {
    clearTimeout(this.#sleepTimer);
    if (isHidden()) {
      this.#sleepTimer = setTimeout(() => this.#sleep(), UNSEEN);
      return this.#beat();
    }
    if (this.#isAsleep) this.#lose();
    this.#isAsleep = false;
    this.#wake();
  }

  #sleep() {
    this.#isAsleep = true;
    this.stream.pause();
    this.#calm();
  }

  #suspend() {
    for (const course of this.courses.values()) for (const presence of course.presences.values()) presence.suspend();
    this.#sleep(); // a cached page to which data comes is thrown out of the back/forward cache
  }

  #restore() {
    for (const course of this.courses.values()) for (const presence of course.presences.values()) presence.join();
    this.#seen();
  }
}
