/**
 * The streams of a page, as many as its courses need; while one is missing, its counts are polled. A proxy may let the
 * first bytes of a stream pass and hold back the rest. So counts are polled as well until a stream has delivered
 * something later, and when one is suspected; a stream that does not deliver what a poll has found is reopened.
 */

import { DELIVERY_TIMEOUT, OFFLINE_DELAY, POLL_DELAY, POLL_INTERVAL, RELEASE, STALE_DELAY, TRUST_DELAY, now, spread } from "../shared/timing.js";
import { merged, streams } from "./query.js";
import { readCounts } from "./reader.js";
import { Stream } from "./stream.js";

const UNKNOWN = new Set([404, 405, 413, 415, 422]); // the answers of services that have no such POST, or accept none of this size

const RELEASES_FORGOTTEN = 300_000; // after a release

/** @typedef {import("./query.js").Want} Want */

/**
 * @typedef {object} Listener
 * @property {() => Want} want
 * @property {(event: string, news: any) => void} receive
 * @property {(pause: number) => void} changed whether all that is wanted is delivered; the pause that the service asked for
 * @property {(error: any, failures: number, ids: string[], named: string[]) => Promise<void>} failed with those of the courses whose names were wanted
 * @property {(refused: Map<string, Error>) => void} refused courses that we may not see
 */

export class Streams {
  /** @type {Stream[]} */ #streams = [];
  /** @type {import("./query.js").Query[]} */ #queries = [];
  /** @type {Want} */ #want = { courses: {}, chapters: null, areApart: false };
  #canPost = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #poll;
  #pollFailures = 0;
  /** When the counts that no stream delivers were last polled. */ #polledAt = 0;
  /** Streams are known not to be held back. */ #isTrusted = false;
  /** @type {Map<string, number>} the totals that streams delivered last */ #delivered = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #doubtTimer;
  #pollDue = 0;
  #releasedUntil = 0;
  #releases = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #releaseTimer;
  isPaused = true;

  /** @param {import("../service/service.js").Service} service @param {Listener} listener */
  constructor(service, listener) {
    this.service = service;
    this.listener = listener;
  }

  /** The count of every course is up to date. */
  get isLive() {
    return !this.#missing().length || now() < this.#polledAt + 2.5 * POLL_INTERVAL;
  }

  get areWaiting() {
    return this.#streams.some((stream) => stream.isWaiting && stream.failures);
  }

  /** @param {number} [delay] */
  sync(delay) {
    if (this.isPaused) return;
    this.#want = merged([this.listener.want()]);
    this.#queries = this.#isReleased ? [] : streams(this.#want, this.#canPost);
    this.#queries.forEach((_, i) => (this.#streams[i] ??= this.#stream(i)));
    for (const stream of this.#streams) stream.sync(delay);
    this.#watch();
  }

  resume() {
    this.isPaused = false;
    for (const stream of this.#streams) stream.resume();
    this.sync();
  }

  pause() {
    this.isPaused = true;
    this.#stopPolling();
    this.#polledAt = 0;
    for (const stream of this.#streams) stream.pause();
  }

  /** @param {string} reason */
  drop(reason) {
    this.#polledAt = 0;
    for (const stream of this.#streams) stream.drop(reason);
  }

  /** Gives connections up for a moment, for requests that matter more. */
  release() {
    if (this.isPaused || this.#isReleased) return;
    if (now() > this.#releasedUntil + RELEASES_FORGOTTEN) this.#releases = 0;
    const pause = spread(RELEASE) * 4 ** Math.min(3, this.#releases++);
    this.#releasedUntil = now() + pause;
    clearTimeout(this.#releaseTimer);
    this.#releaseTimer = setTimeout(() => this.sync(), pause);
    this.sync(0);
    this.#pollIn(0);
  }

  get #isReleased() {
    return now() < this.#releasedUntil;
  }

  /** @param {number} i */
  #stream(i) {
    return new Stream(this.service, {
      query: () => this.#queries[i] ?? null,
      receive: ({ event, data }) => {
        const news = JSON.parse(data);
        if (event === "count") this.#delivered.set(news.course_id, news.total);
        this.listener.receive(event, news);
      },
      changed: (pause) => {
        if (!this.#missing().length) this.#stopPolling();
        this.#watch();
        this.listener.changed(pause);
      },
      failed: (error, stream) => this.#failed(error, stream, i),
      received: (age) => {
        clearTimeout(this.#doubtTimer);
        if (this.#isTrusted || age < TRUST_DELAY) return;
        this.#isTrusted = true;
        this.#watch();
      },
      overdue: () => this.#distrust(),
    });
  }

  /** @param {any} error @param {Stream} stream @param {number} i */
  async #failed(error, stream, i) {
    const query = this.#queries[i];
    if (query?.body && UNKNOWN.has(error.status)) {
      this.#canPost = false;
      return this.sync();
    }
    const ids = query?.ids ?? [];
    await this.listener.failed(error, stream.failures, ids, ids.filter((id) => this.#want.courses[id]));
    this.sync(); // perhaps without names that were refused
  }

  #missing() {
    const delivered = new Set(this.#queries.flatMap(({ ids }, i) => (this.#streams[i].isLive ? ids : [])));
    return Object.keys(this.#want.courses).filter((id) => !delivered.has(id));
  }

  /** The courses whose counts are polled. */
  #polled() {
    return this.#isTrusted ? this.#missing() : Object.keys(this.#want.courses);
  }

  /** A heartbeat's reply has another number: a stream that works delivers it in a moment. */
  doubt() {
    clearTimeout(this.#doubtTimer);
    this.#doubtTimer = setTimeout(() => this.#distrust(), DELIVERY_TIMEOUT);
  }

  #distrust() {
    this.#isTrusted = false;
    this.#pollIn(0);
  }

  /** Polls counts while a stream is missing or not trusted; not at once, since most streams are back soon. */
  #watch() {
    if (!this.#polled().length) this.#stopPolling();
    else this.#pollIn(spread(this.#missing().length ? POLL_DELAY : TRUST_DELAY + 1_000));
  }

  #stopPolling() {
    clearTimeout(this.#poll);
    this.#poll = undefined;
    this.#pollFailures = 0;
  }

  /** @param {number} delay */
  #pollIn(delay) {
    const due = now() + delay;
    if (this.isPaused || (this.#poll && this.#pollDue <= due)) return;
    clearTimeout(this.#poll);
    this.#pollDue = due;
    this.#poll = setTimeout(() => this.#read(), delay);
  }

  async #read() {
    const ids = this.#polled();
    if (this.isPaused || !ids.length) return this.#stopPolling();
    let pause = spread(POLL_INTERVAL);
    try {
      const wasLive = this.isLive;
      let isLate = false;
      const refused = await readCounts(this.service, ids, this.#want.chapters, (count) => {
        isLate ||= this.#delivered.get(count.course_id) !== count.total;
        this.listener.receive("count", count);
      });
      const readAt = now();
      if (this.#missing().length) this.#polledAt = readAt;
      if (isLate) setTimeout(() => this.#dropSilent(readAt), DELIVERY_TIMEOUT);
      this.#pollFailures = 0;
      if (refused.size) this.listener.refused(refused);
      else if (!wasLive) this.listener.changed(0);
    } catch (/** @type {any} */ error) {
      pause = error.retryAfter || Math.min(OFFLINE_DELAY, spread(POLL_INTERVAL) * 2 ** this.#pollFailures++);
      if (!this.isLive) this.listener.changed(STALE_DELAY);
    }
    if (this.isPaused) return;
    clearTimeout(this.#poll);
    this.#poll = undefined;
    if (this.#polled().length) this.#pollIn(pause);
  }

  /** Closes streams that have delivered nothing since a poll found something new. @param {number} polledAt */
  #dropSilent(polledAt) {
    for (const stream of this.#streams) {
      if (stream.receivedAt > polledAt) continue;
      this.#polledAt = polledAt; // the number stays true
      stream.drop("the stream is held back");
    }
  }
}
