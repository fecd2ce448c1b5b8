/** One stream: opened, watched, replaced and reopened here, whatever a proxy answers. */

import { NO_SERVICE, PresenceError } from "../shared/error.js";
import { COMMENT_DELAY, COMMENT_OVERDUE, FIRST_BYTE_TIMEOUT, SILENCE_TIMEOUT, STALE_DELAY, backoff, now } from "../shared/timing.js";
import { frames } from "./frames.js";

const AT_ONCE = 1;

/**
 * @typedef {object} Listener
 * @property {() => import("./query.js").Query | null} query what to listen to now
 * @property {(frame: import("./frames.js").Frame) => void} receive
 * @property {(pause: number) => void} changed it delivers now, or is lost, with the pause that the service asked for
 * @property {(error: any, stream: Stream) => Promise<void>} failed called before the next try
 * @property {(age: number) => void} received called for every chunk, with the time since the first one
 * @property {() => void} overdue called when not even a comment came in time
 */

export class Stream {
  /** Tries in a row that failed, or brought nothing after their first bytes. */ failures = 0;
  /** The query that it is open for, or is being opened for. */ #key = "";
  /** @type {AbortController | null} the stream that delivers */ #live = null;
  /** @type {AbortController | null} the stream that is to take its place */ #opening = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #notBefore = 0;
  #backAt = 0;
  /** When the last chunk came. */ receivedAt = 0;
  #isPaused = false;

  /** @param {import("../service/service.js").Service} service @param {Listener} listener */
  constructor(service, listener) {
    this.service = service;
    this.listener = listener;
  }

  get isLive() {
    return Boolean(this.#live);
  }

  get isWaiting() {
    return !this.#live && !this.#opening && !this.#isPaused;
  }

  /**
   * Brings the stream in line with the current query: the only way to open, change or end it.
   * @param {number} [delay] by default soon, but not before the backoff is over
   */
  sync(delay = Math.max(10, this.#backAt - now())) {
    if (this.#isPaused) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#sync(), Math.max(delay, this.#notBefore - now()));
  }

  resume() {
    this.#isPaused = false;
    this.failures = 0;
    if (!this.#live) this.sync(0);
  }

  pause() {
    clearTimeout(this.#timer);
    this.#isPaused = true;
    this.#end();
  }

  /** Closes a connection that is believed dead. @param {string} reason */
  drop(reason) {
    this.#live?.abort(new Error(reason));
  }

  #end() {
    const ending = [this.#live, this.#opening];
    this.#live = this.#opening = null; // first: a stream that is neither of the two ends without a report
    for (const control of ending) control?.abort();
  }

  #sync() {
    const query = this.listener.query();
    const key = query ? query.path + JSON.stringify(query.body) : "";
    if (!query) this.#end();
    else if (key !== this.#key || (!this.#live && !this.#opening)) this.#run(query, key);
  }

  /** @param {import("./query.js").Query} query @param {string} key */
  async #run(query, key) {
    const control = new AbortController();
    const isOurs = () => control === this.#live || control === this.#opening;
    this.#opening?.abort();
    this.#opening = control;
    this.#key = key;
    const started = now();
    let retry = 0;
    /** @type {unknown} */ let failure = null;
    try {
      retry = await this.#listen(query, control);
    } catch (error) {
      failure = error;
    }
    if (!isOurs()) return; // replaced, or closed on purpose
    const hasDelivered = control === this.#live;
    if (hasDelivered) this.#live = null;
    else this.#opening = null;
    this.#key = "";
    if (!this.#live) this.listener.changed(retry);
    const lasted = now() - started;
    this.failures = hasDelivered && this.receivedAt - started > 2 * STALE_DELAY ? 0 : this.failures + 1;
    if (retry === AT_ONCE && lasted < STALE_DELAY) retry = 0; // the new token has expired, too: an immediate retry would loop
    const wait = /** @type {any} */ (failure)?.retryAfter ?? 0; // asked for by the service, so nothing may shorten it
    if (wait) this.#notBefore = now() + wait;
    if (failure) await this.listener.failed(failure, this);
    this.#backAt = now() + (retry || backoff(this.failures));
    this.sync();
  }

  /** @param {import("./query.js").Query} query @param {AbortController} control @returns {Promise<number>} when to reconnect, 0 if the service named no time */
  async #listen({ path, body }, control) {
    const silent = () => control.abort(new Error("the stream of the presence service fell silent"));
    let watchdog = setTimeout(silent, FIRST_BYTE_TIMEOUT); // for the first byte of the body: some scanners let the headers pass
    let first = 0;
    let overdue = COMMENT_OVERDUE;
    const heard = (/** @type {number} */ seconds) => {
      clearTimeout(watchdog);
      if (seconds) overdue = seconds * 1_000 + COMMENT_DELAY;
      watchdog = setTimeout(() => {
        watchdog = setTimeout(silent, SILENCE_TIMEOUT - overdue);
        this.listener.overdue();
      }, overdue);
      this.receivedAt = now();
      first ||= this.receivedAt;
      if (control === this.#opening) this.#delivers(control);
      this.listener.received(this.receivedAt - first);
    };
    try {
      const options = { signal: control.signal, ...(body && { body: () => body }) };
      const response = await this.service.request(path, options);
      if (!/event-stream/.test(response.headers.get("content-type") ?? "")) {
        this.service.doubt();
        throw new PresenceError(NO_SERVICE, response.status, 0);
      }
      for await (const frame of frames(/** @type {ReadableStream} */ (response.body), heard)) {
        if (frame.event === "bye") return frame.retry;
        if (frame.event === "reauth") {
          this.service.isTokenOver = true;
          return AT_ONCE; // tokens expire one by one, so clients do not reconnect in step
        }
        this.listener.receive(frame);
      }
      return 0;
    } finally {
      clearTimeout(watchdog);
      control.abort();
    }
  }

  /** The new stream delivers: only now the old one ends, so that a changed query causes no gap. */
  #delivers(/** @type {AbortController} */ control) {
    const old = this.#live;
    this.#live = control;
    this.#opening = null;
    old?.abort();
    this.listener.changed(0);
  }
}
