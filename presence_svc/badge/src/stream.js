/** One stream: opened, watched, replaced and reopened here; whatever a proxy answers, it comes back. */

import { PresenceError } from "./error.js";
import { frames } from "./frames.js";
import { FIRST, HOLD, SILENCE, backoff } from "./wait.js";

const AT_ONCE = 1;

/**
 * @typedef {object} Listener
 * @property {() => import("./ask.js").Ask | null} ask what to listen to now
 * @property {(frame: import("./frames.js").Frame) => void} hear
 * @property {(pause: number) => void} changed it speaks, or is lost with the pause that the service asked for
 * @property {(error: any, stream: Stream) => Promise<void>} failed what to do about it, before the next try
 */

export class Stream {
  /** Ends in a row, without a stream that lasted. */ failures = 0;
  /** What it is open for, or is being opened for. */ #key = "";
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

  get isLive() {
    return Boolean(this.#live);
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
    const ask = this.listener.ask();
    const key = ask ? ask.path + JSON.stringify(ask.body) : "";
    if (!ask) this.#end();
    else if (key !== this.#key || (!this.#live && !this.#opening)) this.#run(ask, key);
  }

  /** @param {import("./ask.js").Ask} ask @param {string} key */
  async #run(ask, key) {
    const control = new AbortController();
    const isOurs = () => control === this.#live || control === this.#opening;
    this.#opening?.abort();
    this.#opening = control;
    this.#key = key;
    const started = Date.now();
    let retry = 0;
    /** @type {unknown} */ let failure = null;
    try {
      retry = await this.#listen(ask, control);
    } catch (error) {
      failure = error;
    }
    if (!isOurs()) return; // replaced, or closed on purpose
    const hasSpoken = control === this.#live;
    if (hasSpoken) this.#live = null;
    else this.#opening = null;
    this.#key = "";
    if (!this.#live) this.listener.changed(retry);
    const lasted = Date.now() - started;
    this.failures = hasSpoken && lasted > 2 * HOLD ? 0 : this.failures + 1;
    if (retry === AT_ONCE && lasted < HOLD) retry = 0; // the token was over before: at once would be for ever
    const wait = /** @type {any} */ (failure)?.retryAfter ?? 0; // asked for by the service, so no click may shorten it
    if (wait) this.#notBefore = Date.now() + wait;
    if (failure) await this.listener.failed(failure, this);
    this.#backAt = Date.now() + (retry || backoff(this.failures));
    this.sync();
  }

  /** @param {import("./ask.js").Ask} ask @param {AbortController} control @returns {Promise<number>} when to come back, if said */
  async #listen({ path, body }, control) {
    const silent = () => control.abort(new Error("the stream of the presence service fell silent"));
    let watchdog = setTimeout(silent, FIRST); // for the first byte, not the head: some scanners hold back the body alone
    const heard = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(silent, SILENCE);
      if (control === this.#opening) this.#speaks(control);
    };
    try {
      const options = { signal: control.signal, ...(body && { body: () => body }) };
      const response = await this.service.request(path, options);
      if (!/event-stream/.test(response.headers.get("content-type") ?? "")) {
        this.service.doubt();
        throw new PresenceError("what answers is no presence service", response.status, 0);
      }
      for await (const frame of frames(/** @type {ReadableStream} */ (response.body), heard)) {
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
    this.listener.changed(0);
  }
}
