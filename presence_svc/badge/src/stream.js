/** The one stream of a page: opened, watched, replaced and reopened here; whatever a proxy answers, it comes back. */

import { frames } from "./frames.js";
import { ANSWER, HOLD, SILENCE, backoff } from "./wait.js";

const AT_ONCE = 1;

/**
 * @typedef {object} Listener
 * @property {() => string} query what to listen to now; empty for nothing
 * @property {(frame: import("./frames.js").Frame) => void} hear
 * @property {() => void} opened
 * @property {(pause: number) => void} lost with the pause that the service asked for
 * @property {(error: any, failures: number) => Promise<void>} failed what to do about it, before the next try
 */

export class Stream {
  /** Ends in a row, without a stream that lasted. */ failures = 0;
  /** What it is open for, or is being opened for. */ #query = "";
  /** @type {AbortController | null} the stream that speaks */ #live = null;
  /** @type {AbortController | null} the stream that is to take its place */ #opening = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #notBefore = 0;
  #backAt = 0;
  #isPaused = false;

  /** @param {import("./service.js").Service} service @param {Listener} listener */
  constructor(service, listener) {
    this.service = service;
    this.listener = listener;
  }

  get isWaiting() {
    return !this.#live && !this.#opening && !this.#isPaused;
  }

  /**
   * Brings the stream in line with what is to be listened to: the one way to open, change and end it.
   * @param {number} [delay] by default soon, but not before the wait after a failure is over
   */
  sync(delay = Math.max(10, this.#backAt - Date.now())) {
    if (this.#isPaused) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#sync(), Math.max(delay, this.#notBefore - Date.now()));
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

  /** Ends what was opened for somebody who has gone; tokens of two people by turns must not make a storm. */
  renew() {
    this.#end();
    this.#backAt = Date.now() + HOLD;
    this.sync();
  }

  /** The connection is believed dead. @param {string} reason */
  drop(reason) {
    this.#live?.abort(new Error(reason));
  }

  #end() {
    const ending = [this.#live, this.#opening];
    this.#live = this.#opening = null; // first: whoever is neither of the two ends in silence
    for (const control of ending) control?.abort();
  }

  #sync() {
    const query = this.listener.query();
    if (!query) this.#end();
    else if (query !== this.#query || (!this.#live && !this.#opening)) this.#run(query);
  }

  /** @param {string} query */
  async #run(query) {
    const control = new AbortController();
    const isOurs = () => control === this.#live || control === this.#opening;
    this.#opening?.abort();
    this.#opening = control;
    this.#query = query;
    const started = Date.now();
    let retry = 0;
    /** @type {unknown} */ let failure = null;
    try {
      retry = await this.#listen(query, control);
    } catch (error) {
      failure = error;
    }
    if (!isOurs()) return; // replaced, or closed on purpose
    if (control === this.#live) this.#live = null;
    else this.#opening = null;
    this.#query = "";
    if (!this.#live) this.listener.lost(retry);
    const lasted = Date.now() - started;
    this.failures = lasted > 2 * HOLD ? 0 : this.failures + 1;
    if (retry === AT_ONCE && lasted < HOLD) retry = 0; // the token was over before: at once would be for ever
    const wait = /** @type {any} */ (failure)?.retryAfter ?? 0; // asked for by the service, so no click may shorten it
    if (wait) this.#notBefore = Date.now() + wait;
    if (failure) await this.listener.failed(failure, this.failures);
    this.#backAt = Date.now() + (retry || backoff(this.failures));
    this.sync();
  }

  /** @param {string} query @param {AbortController} control @returns {Promise<number>} when to come back, if said */
  async #listen(query, control) {
    const silent = () => control.abort(new Error("the stream of the presence service fell silent"));
    let watchdog = setTimeout(silent, ANSWER);
    const heard = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(silent, SILENCE);
    };
    try {
      const { body } = await this.service.request(`/v1/live?${query}`, { signal: control.signal });
      heard();
      this.#speaks(control);
      for await (const frame of frames(/** @type {ReadableStream} */ (body), heard)) {
        if (frame.event === "bye") return frame.retry;
        if (frame.event === "reauth") {
          this.service.isTokenOver = true;
          return AT_ONCE; // tokens end one by one, so this is no crowd
        }
        this.listener.hear(frame);
      }
      return 0;
    } finally {
      clearTimeout(watchdog);
      control.abort();
    }
  }

  /** The new stream is here: only now the old one ends, so that a changed list of courses is no interruption. */
  #speaks(/** @type {AbortController} */ control) {
    const old = this.#live;
    this.#live = control;
    this.#opening = null;
    old?.abort();
    this.listener.opened();
  }
}
