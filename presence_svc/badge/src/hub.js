/** One service on one page: all its courses, and what the page's own life means for them. */

import { isHidden } from "./checks.js";
import { Course } from "./course.js";
import { place } from "./place.js";
import { isRefusal, look, unnamed } from "./reader.js";
import { Service } from "./service.js";
import { Source } from "./source.js";
import { HOLD, LOOK, LOST, UNSEEN } from "./wait.js";

export class Hub {
  /** @type {Map<string, Hub>} */ static #all = new Map();
  /** @type {Map<string, Course>} */ courses = new Map();
  /** @type {import("./words.js").State} */ state = "connecting";
  #isAsleep = false;
  #areNamesApart = false;
  #lookedAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #lookTimer;
  /** @type {ReturnType<typeof setTimeout>[]} */ #lossTimers = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #sleepTimer;

  /** @param {string} [baseUrl] by default where this module came from */
  static at(baseUrl) {
    const { base, isGuess } = place(baseUrl);
    const hub = Hub.#all.get(base) ?? new Hub(base, isGuess);
    Hub.#all.set(base, hub);
    return hub;
  }

  /** @param {string} base @param {boolean} isGuess */
  constructor(base, isGuess) {
    this.service = new Service(base, isGuess, (isSwitch, isOut) => this.#turn(isSwitch, isOut));
    this.source = new Source(this.service, {
      want: () => this.#want(),
      hear: (event, news) => this.#hear(event, news),
      changed: (pause) => (this.source.isLive ? this.#found() : this.#lose(pause)),
      failed: (error, failures, ids) => this.#failed(error, failures, ids),
      refused: (refused) => this.#refuse(refused),
      lost: (ids) => this.#seek(ids),
    });
    const on = globalThis.addEventListener?.bind(globalThis) ?? (() => {});
    on("online", () => this.#wake());
    on("offline", () => this.#cut());
    on("pagehide", () => this.#suspend());
    on("pageshow", (event) => event.persisted && this.#restore());
    for (const [event, act] of /** @type {[string, () => void][]} */ ([
      ["visibilitychange", () => this.#seen()],
      ["freeze", () => this.#sleep()],
      ["resume", () => this.#seen()],
    ])) globalThis.document?.addEventListener(event, act);
    this.#lose();
    queueMicrotask(() => this.#open()); // once it is known whose page it is
    if (isHidden()) this.#sleepTimer = setTimeout(() => this.#sleep(), UNSEEN);
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
    const wait = this.#lookedAt + (this.service.subject ? LOOK : HOLD) - Date.now();
    if (!isAnother || (wait > 0 && this.service.subject)) return;
    clearTimeout(this.#lookTimer);
    this.#lookTimer = setTimeout(() => {
      this.#lookedAt = Date.now();
      this.service.identify().then(() => this.#retry(), () => {}); // what fails here fails again in the next request
    }, Math.max(0, wait));
  }

  /** The tokens are somebody else's from now on. @param {boolean} isSwitch somebody was signed in before @param {boolean} isOut nobody is now */
  #turn(isSwitch, isOut) {
    this.#areNamesApart = false;
    for (const course of this.courses.values()) course.isNameless = false;
    this.#retry();
    if (!this.#isAsleep) setTimeout(() => this.#open(), isSwitch ? HOLD : 0); // two people by turns must not make a storm
    if (!isSwitch && !isOut) for (const presence of this.#presences()) presence.beatSoon();
    if (!isSwitch) return;
    for (const course of this.courses.values()) {
      course.roster.clear();
      for (const presence of course.presences.values()) presence.turn(isOut);
      course.notify();
    }
    this.source.pause(); // what was opened for somebody who has gone
  }

  /** A heartbeat was answered: the service is there, so a stream that waits to try again need not. */
  answered() {
    if (this.source.streams.areWaiting) this.source.sync(0);
  }

  /** All courses, or those that were refused. */
  #ids(isRefused = false) {
    return [...this.courses].filter(([, { refusal }]) => isRefused === Boolean(refusal)).map(([id]) => id);
  }

  /** @returns {import("./ask.js").Want} */
  #want() {
    /** @type {Record<string, number>} */ const courses = {};
    /** @type {(string[] | null)[]} */ const chapters = [];
    for (const [id, course] of this.courses) {
      if (!course.isWatched) this.courses.delete(id);
      else if (!course.refusal) {
        const options = [...course.sessions].map((session) => session.options);
        courses[id] = course.isNameless ? 0 : Math.max(0, ...options.map(({ viewers }) => viewers ?? 0));
        for (const { chapters: all, chapterId } of options) chapters.push(all !== false ? null : chapterId ? [String(chapterId)] : []);
      }
    }
    const areAll = chapters.some((some) => !some);
    return { courses, chapters: areAll ? null : chapters.flatMap((some) => some ?? []), areApart: this.#areNamesApart };
  }

  /** @param {string} event @param {any} news */
  #hear(event, news) {
    const course = this.courses.get(news.course_id);
    if (!course) return;
    if (event === "count") course.accept(news);
    else if (event === "viewers") course.meet(news);
    else if (event === "refused") course.isNameless = true; // its number comes all the same
  }

  /** @param {Error & {status?: number}} error @param {number} failures @param {string[]} ids */
  async #failed(error, failures, ids) {
    const isHeard = [...this.courses.values()].some((course) => course.isHeard);
    if (this.state === "connecting" && isHeard && !this.source.isLive) this.#become("stale");
    if (isRefusal(error)) {
      const refused = await this.#look(ids);
      this.source.close(refused);
      if (refused.size) return; // they have said so, and the others go on without them
    }
    if (error.status === 401 || error.status === 403) await this.#doWithoutNames(error, ids);
    if (failures > 0 && !this.source.isLive) for (const course of this.courses.values()) course.notify(error);
  }

  /** Numbers may be public where names are not: better the number alone than nothing. @param {Error & {status?: number}} error @param {string[]} ids */
  async #doWithoutNames(error, ids) {
    const wanted = ids.filter((id) => this.#want().courses[id]);
    if (!this.#areNamesApart && error.status === 403 && wanted.length < ids.length) {
      this.#areNamesApart = true;
      return;
    }
    const refused = error.status === 401 ? wanted : [...(await unnamed(this.service, wanted).catch(() => new Map())).keys()];
    for (const id of refused) this.course(id).isNameless = true;
  }

  /** @param {string[]} ids @returns {Promise<Map<string, Error>>} */
  #look(ids) {
    const { chapters } = this.#want();
    return look(this.service, ids, chapters, (count) => this.#hear("count", count)).catch(() => new Map());
  }

  /** Says why a heartbeat was wrong. @param {Course} course @param {Error} error */
  async explain(course, error) {
    if (!course.isImpossible) this.source.close(await this.#look([course.id]));
    if (!course.isImpossible) console.warn(`live-viewer-badge: not counted: ${error.message}`);
  }

  /** @param {Map<string, Error>} refused */
  #refuse(refused) {
    for (const [id, error] of refused) this.courses.get(id)?.refuse(error);
  }

  /** What the page that leads may not hear, we perhaps may. @param {string[]} ids */
  async #seek(ids) {
    const ours = ids.filter((id) => this.courses.has(id));
    if (!ours.length) return;
    const refused = await this.#look(ours);
    this.#refuse(refused);
    if (refused.size < ours.length) this.source.solo();
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
    this.source.reopen();
    await this.#look(this.#ids(true)).then((refused) => this.#refuse(refused));
    this.source.sync();
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
    this.source.streams.drop("the browser is offline");
    this.#become("offline");
  }

  #presences() {
    return [...this.courses.values()].flatMap((course) => [...course.presences.values()]);
  }

  #beat() {
    for (const presence of this.#presences()) presence.beat();
  }

  /** Listens, together with the other pages of whoever we are. */
  async #open() {
    const { service } = this;
    if (service.getToken && !service.subject) await service.identify().catch(() => {}); // what fails here fails again in the next request
    if (!this.#isAsleep) this.source.resume(`live-viewer ${service.base} ${service.subject}`);
  }

  #wake() {
    this.#open();
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
    this.source.pause();
    this.#calm();
  }

  #suspend() {
    for (const presence of this.#presences()) presence.suspend();
    this.#sleep(); // a cached page to which data comes is thrown out of the back/forward cache
  }

  #restore() {
    for (const presence of this.#presences()) presence.join();
    this.#seen();
  }
}
