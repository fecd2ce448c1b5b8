/** One service as one page uses it: all its courses, and how the page's lifecycle affects them. */

import { place } from "../service/place.js";
import { Service } from "../service/service.js";
import { isHidden } from "../shared/checks.js";
import { HIDDEN_DELAY, OFFLINE_DELAY, STALE_DELAY, TOKEN_INTERVAL, now } from "../shared/timing.js";
import { isRefusal, readCounts, refusedNames } from "../stream/reader.js";
import { Leadership } from "../stream/leadership.js";
import { Course } from "./course.js";

export class Hub {
  /** @type {Map<string, Hub>} */ static #all = new Map();
  /** @type {Map<string, Course>} */ courses = new Map();
  /** @type {import("../shared/types.js").State} */ state = "connecting";
  #isAsleep = false;
  #areNamesApart = false;
  #identifiedAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #identifyTimer;
  /** @type {ReturnType<typeof setTimeout>[]} */ #lossTimers = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #sleepTimer;

  /** @param {string} [baseUrl] by default where this module was loaded from */
  static at(baseUrl) {
    const { base, isGuess } = place(baseUrl);
    const hub = Hub.#all.get(base) ?? new Hub(base, isGuess);
    Hub.#all.set(base, hub);
    return hub;
  }

  /** @param {string} base @param {boolean} isGuess */
  constructor(base, isGuess) {
    this.service = new Service(base, isGuess, (isSwitch, isOut) => this.#subjectChanged(isSwitch, isOut));
    this.source = new Leadership(this.service, {
      want: () => this.#want(),
      receive: (event, news) => this.#receive(event, news),
      changed: (pause) => (this.source.isLive ? this.#connected() : this.#disconnected(pause)),
      failed: (error, failures, ids, named) => this.#failed(error, failures, ids, named),
      refused: (refused) => this.#refuse(refused),
      lost: (ids) => this.#readOurselves(ids),
    });
    const on = globalThis.addEventListener?.bind(globalThis) ?? (() => {});
    on("online", () => this.#wake());
    on("offline", () => this.#goOffline());
    on("pagehide", () => this.#suspend());
    on("pageshow", (event) => event.persisted && this.#restore());
    for (const [event, act] of /** @type {[string, () => void][]} */ ([
      ["visibilitychange", () => this.#seen()],
      ["freeze", () => this.#sleep()],
      ["resume", () => this.#seen()],
    ])) globalThis.document?.addEventListener(event, act);
    this.#disconnected();
    queueMicrotask(() => this.#open()); // after the page has set getToken
    if (isHidden()) this.#sleepTimer = setTimeout(() => this.#sleep(), HIDDEN_DELAY);
  }

  /** @param {string} id */
  course(id) {
    const course = this.courses.get(id) ?? new Course(this, id);
    this.courses.set(id, course);
    return course;
  }

  /** @param {import("../shared/types.js").GetToken | undefined} getToken */
  authorize(getToken) {
    const isAnother = getToken && this.service.getToken;
    this.service.authorize(getToken);
    // A page may set a new function at every render: not each of them is a reason to fetch a token.
    const wait = this.#identifiedAt + (this.service.subject ? TOKEN_INTERVAL : STALE_DELAY) - now();
    if (!isAnother || (wait > 0 && this.service.subject)) return;
    clearTimeout(this.#identifyTimer);
    this.#identifyTimer = setTimeout(() => {
      this.#identifiedAt = now();
      this.service.identify().then(() => this.#retry(), () => {}); // the next request will report the error
    }, Math.max(0, wait));
  }

  /** Tokens belong to another user from now on. @param {boolean} isSwitch somebody was signed in before @param {boolean} isOut nobody is now */
  #subjectChanged(isSwitch, isOut) {
    this.#areNamesApart = false;
    this.#retry();
    if (!this.#isAsleep) setTimeout(() => this.#open(), isSwitch ? STALE_DELAY : 0); // two users in alternation must not open streams without a pause
    if (!isSwitch && !isOut) for (const presence of this.#presences()) presence.beatSoon();
    if (!isSwitch) return;
    for (const course of this.courses.values()) {
      course.roster.clear();
      for (const presence of course.presences.values()) presence.switchUser(isOut);
      course.notify();
    }
    this.source.pause(); // streams of the former user
  }

  /** A heartbeat was answered, so the service is back: streams need not wait for their backoff. @param {Course} course */
  answered(course) {
    if (course.refusal) this.#retry(); // the token opens it by now
    if (this.source.streams.areWaiting) this.source.sync(0);
  }

  /** The courses that were refused, or the others. */
  #ids(isRefused = false) {
    return [...this.courses].filter(([, { refusal }]) => isRefused === Boolean(refusal)).map(([id]) => id);
  }

  /** @returns {import("../stream/query.js").Want} */
  #want() {
    /** @type {Record<string, number>} */ const courses = Object.create(null); // "__proto__" is an id, too
    /** @type {(string[] | null)[]} */ const chapters = [];
    for (const [id, course] of this.courses) {
      if (!course.isWatched) this.courses.delete(id);
      else if (!course.refusal) {
        const options = [...course.sessions].map((session) => session.options);
        courses[id] = Math.max(0, ...options.map(({ viewers }) => viewers ?? 0));
        for (const { chapters: all, chapterId } of options) chapters.push(all !== false ? null : chapterId ? [String(chapterId)] : []);
      }
    }
    const areAll = chapters.some((some) => !some);
    return { courses, chapters: areAll ? null : chapters.flatMap((some) => some ?? []), areApart: this.#areNamesApart };
  }

  /** @param {string} event @param {any} news */
  #receive(event, news) {
    const course = this.courses.get(news.course_id);
    if (!course) return;
    if (event === "count") course.accept(news);
    else if (event === "viewers") course.acceptViewers(news);
    else if (event === "refused") this.source.withoutNames([news.course_id]); // its count comes all the same
  }

  /** @param {Error & {status?: number}} error @param {number} failures @param {string[]} ids @param {string[]} named */
  async #failed(error, failures, ids, named) {
    const isHeard = [...this.courses.values()].some((course) => course.isHeard);
    if (this.state === "connecting" && isHeard && !this.source.isLive) this.#become("stale");
    if (isRefusal(error)) {
      const refused = await this.#readCounts(ids);
      this.source.close(refused);
      if (refused.size) return; // they are reported, and the other courses go on without them
    }
    if (error.status === 401 || error.status === 403) await this.#doWithoutNames(error, ids, named);
    if (failures > 0 && !this.source.isLive) for (const course of this.courses.values()) course.notify(error);
  }

  /** Counts may be public where names are not: then the count is shown alone. @param {Error & {status?: number}} error @param {string[]} ids @param {string[]} named by any page */
  async #doWithoutNames(error, ids, named) {
    if (!this.#areNamesApart && error.status === 403 && named.length < ids.length) {
      this.#areNamesApart = true;
      return;
    }
    const refused = error.status === 401 ? named : [...(await refusedNames(this.service, named).catch(() => new Map())).keys()];
    this.source.withoutNames(refused);
  }

  /** @param {string[]} ids @returns {Promise<Map<string, Error>>} */
  #readCounts(ids) {
    const { chapters } = this.#want();
    return readCounts(this.service, ids, chapters, (count) => this.#receive("count", count)).catch(() => new Map());
  }

  /** Finds out why a heartbeat was invalid. @param {Course} course @param {Error} error */
  async explain(course, error) {
    if (!course.isImpossible) this.source.close(await this.#readCounts([course.id]));
    if (!course.isImpossible) console.warn(`live-viewer-badge: not counted: ${error.message}`);
  }

  /** @param {Map<string, Error>} refused */
  #refuse(refused) {
    for (const [id, error] of refused) this.courses.get(id)?.refuse(error);
  }

  /** We may perhaps see what the leading page may not. @param {string[]} ids */
  async #readOurselves(ids) {
    const ours = ids.filter((id) => this.courses.has(id));
    if (!ours.length) return;
    const refused = await this.#readCounts(ours);
    this.#refuse(refused);
    if (refused.size < ours.length) this.source.detach();
  }

  /** @param {import("../shared/types.js").State} state */
  #become(state) {
    if (state === this.state) return;
    this.state = state;
    for (const course of this.courses.values()) course.notify();
  }

  #connected() {
    this.#clearLossTimers();
    this.#become("live");
  }

  /** The current token may open what another one did not. */
  async #retry() {
    this.source.reopen();
    await this.#readCounts(this.#ids(true)).then((refused) => this.#refuse(refused));
    this.source.sync();
  }

  /** No count is live any more; shown only if it lasts longer than the service announced. */
  #disconnected(pause = 0) {
    if (this.service.isTokenOver) this.#retry();
    if (this.#lossTimers.length) return;
    const stale = () => this.state === "live" && this.#become("stale");
    this.#lossTimers = [setTimeout(stale, pause + STALE_DELAY), setTimeout(() => this.#become("offline"), OFFLINE_DELAY)];
  }

  #clearLossTimers() {
    this.#lossTimers.forEach(clearTimeout);
    this.#lossTimers = [];
  }

  #goOffline() {
    this.source.streams.drop("the browser is offline");
    this.#become("offline");
  }

  #presences() {
    return [...this.courses.values()].flatMap((course) => [...course.presences.values()]);
  }

  #beat() {
    for (const presence of this.#presences()) presence.beat();
  }

  /** Listens, together with this user's other pages. */
  async #open() {
    const { service } = this;
    if (service.getToken && !service.subject) await service.identify().catch(() => {}); // the next request will report the error
    if (!this.#isAsleep) this.source.resume(`live-viewer ${service.base} ${service.subject}`);
  }

  #wake() {
    this.#open();
    if ([...this.courses.values()].some((course) => course.refusal && !course.isImpossible)) this.#retry();
    this.#beat();
  }

  #seen() {
    clearTimeout(this.#sleepTimer);
    if (isHidden()) {
      this.#sleepTimer = setTimeout(() => this.#sleep(), HIDDEN_DELAY);
      return this.#beat();
    }
    if (this.#isAsleep) this.#disconnected();
    this.#isAsleep = false;
    this.#wake();
  }

  #sleep() {
    this.#isAsleep = true;
    this.source.pause();
    this.#clearLossTimers();
  }

  #suspend() {
    for (const presence of this.#presences()) presence.suspend();
    this.#sleep(); // a page that receives data is evicted from the back/forward cache
  }

  #restore() {
    for (const presence of this.#presences()) presence.join();
    this.#seen();
  }
}
