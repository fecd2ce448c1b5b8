/** The streams of a page: as many as its courses need, and a read of their counts now and then while one does not speak. */

import { merged, streams } from "./ask.js";
import { look } from "./reader.js";
import { Stream } from "./stream.js";
import { HOLD, LOST, PATIENCE, POLL, REST, spread } from "./wait.js";

const UNKNOWN = new Set([404, 405, 413, 415, 422]); // what a service answers that has no such POST, or not of this size

const FORGOTTEN = 300_000; // after a rest

/** @typedef {import("./ask.js").Want} Want */

/**
 * @typedef {object} Listener
 * @property {() => Want} want
 * @property {(event: string, news: any) => void} hear
 * @property {(pause: number) => void} changed all that is wanted is heard now, or not all, for as long as the pause
 * @property {(error: any, failures: number, ids: string[]) => Promise<void>} failed
 * @property {(refused: Map<string, Error>) => void} refused these are not for us
 */

export class Streams {
  /** @type {Stream[]} */ #streams = [];
  /** @type {import("./ask.js").Ask[]} */ #asks = [];
  /** @type {Want} */ #want = { courses: {}, chapters: null, areApart: false };
  #canPost = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #poll;
  #pollFailures = 0;
  /** When all counts that no stream brings were last read. */ #polledAt = 0;
  #restUntil = 0;
  #rests = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #restTimer;
  isPaused = true;

  /** @param {import("./service.js").Service} service @param {Listener} listener */
  constructor(service, listener) {
    this.service = service;
    this.listener = listener;
  }

  /** The number of every course is true, give or take a moment. */
  get isLive() {
    return !this.#unheard().length || Date.now() < this.#polledAt + 2.5 * POLL;
  }

  get areWaiting() {
    return this.#streams.some((stream) => stream.isWaiting && stream.failures);
  }

  /** @param {number} [delay] */
  sync(delay) {
    if (this.isPaused) return;
    this.#want = merged([this.listener.want()]);
    this.#asks = this.#isResting ? [] : streams(this.#want, this.#canPost);
    this.#asks.forEach((_, i) => (this.#streams[i] ??= this.#stream(i)));
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
    clearTimeout(this.#poll);
    this.#poll = undefined;
    this.#polledAt = 0;
    for (const stream of this.#streams) stream.pause();
  }

  /** @param {string} reason */
  drop(reason) {
    this.#polledAt = 0;
    for (const stream of this.#streams) stream.drop(reason);
  }

  /** Connections are needed for what matters more. */
  rest() {
    if (this.isPaused || this.#isResting) return;
    if (Date.now() > this.#restUntil + FORGOTTEN) this.#rests = 0;
    const pause = spread(REST) * 4 ** Math.min(3, this.#rests++);
    this.#restUntil = Date.now() + pause;
    clearTimeout(this.#restTimer);
    this.#restTimer = setTimeout(() => this.sync(), pause);
    this.sync(0);
    this.#pollIn(0);
  }

  get #isResting() {
    return Date.now() < this.#restUntil;
  }

  /** @param {number} i */
  #stream(i) {
    return new Stream(this.service, {
      ask: () => this.#asks[i] ?? null,
      hear: ({ event, data }) => this.listener.hear(event, JSON.parse(data)),
      changed: (pause) => {
        this.#watch();
        this.listener.changed(pause);
      },
      failed: (error, stream) => this.#failed(error, stream, i),
    });
  }

  /** @param {any} error @param {Stream} stream @param {number} i */
  async #failed(error, stream, i) {
    const ask = this.#asks[i];
    if (ask?.body && UNKNOWN.has(error.status)) {
      this.#canPost = false;
      return this.sync();
    }
    await this.listener.failed(error, stream.failures, ask?.ids ?? []);
    this.sync(); // perhaps with less: without names that are not for us
  }

  #unheard() {
    const heard = new Set(this.#asks.flatMap(({ ids }, i) => (this.#streams[i].isLive ? ids : [])));
    return Object.keys(this.#want.courses).filter((id) => !heard.has(id));
  }

  /** Asks for counts while a stream is missing: not at once, since most are back before that. */
  #watch() {
    if (!this.#unheard().length) {
      clearTimeout(this.#poll);
      this.#poll = undefined;
      this.#pollFailures = 0;
    } else if (!this.#poll) this.#pollIn(spread(PATIENCE));
  }

  /** @param {number} delay */
  #pollIn(delay) {
    clearTimeout(this.#poll);
    this.#poll = setTimeout(() => this.#read(), delay);
  }

  async #read() {
    const ids = this.#unheard();
    if (this.isPaused || !ids.length) return this.#watch();
    let pause = spread(POLL);
    try {
      const wasLive = this.isLive;
      const refused = await look(this.service, ids, this.#want.chapters, (count) => this.listener.hear("count", count));
      this.#polledAt = Date.now();
      this.#pollFailures = 0;
      if (refused.size) this.listener.refused(refused);
      else if (!wasLive) this.listener.changed(0);
    } catch (/** @type {any} */ error) {
      pause = error.retryAfter || Math.min(LOST, spread(POLL) * 2 ** this.#pollFailures++);
      if (!this.isLive) this.listener.changed(HOLD);
    }
    if (this.isPaused) return;
    this.#poll = undefined;
    if (this.#unheard().length) this.#pollIn(pause);
  }
}
