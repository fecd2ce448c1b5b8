/** Access to one service: requests with a token, bounded in time, and a leave that outlives the page. */

import { PresenceError } from "../shared/error.js";
import { LONGEST_PAUSE, REQUEST_TIMEOUT, bounded, deadline } from "../shared/timing.js";
import { warnOfBase } from "./place.js";
import { subject } from "./token.js";

/** Retry-After has seconds, or, by some proxies, a date. @param {string} value @returns {number} milliseconds */
function pauseOf(value) {
  const pause = /^[A-Z]/i.test(value) ? Date.parse(value) - Date.now() : Number(value) * 1_000;
  return Math.min(Math.max(0, pause || 0), LONGEST_PAUSE);
}

/** @typedef {{method?: string, body?: () => object, signal?: AbortSignal}} RequestOptions */

export class Service {
  /** @type {import("../shared/types.js").GetToken | undefined} */ getToken;
  /** The service rejected the token as expired: the next one must be new. */ isTokenOver = false;
  /** The last token, for a leave that cannot wait for a new one. */ #token = "";
  #signOuts = 0;

  /**
   * @param {string} base @param {boolean} isGuess the address was derived, not configured
   * @param {(isSwitch: boolean, isOut: boolean) => void} subjectChanged called when tokens
   *   belong to another user from now on: whether somebody was signed in before, and whether nobody is now
   */
  constructor(base, isGuess, subjectChanged) {
    this.base = base;
    this.isGuess = isGuess;
    this.subjectChanged = subjectChanged;
  }

  /** The subject of the last token; empty for a visitor. */
  get subject() {
    return subject(this.#token);
  }

  /** Without a function the user is signed out from this moment. @param {import("../shared/types.js").GetToken | undefined} getToken */
  authorize(getToken) {
    this.getToken = getToken;
    if (getToken) return;
    this.#signOuts += 1;
    this.#accept("");
  }

  /** The current token. @returns {Promise<Record<string, string>>} as headers */
  async identify() {
    if (!this.getToken) return {};
    const signOuts = this.#signOuts;
    const token = (await bounded(this.getToken(this.isTokenOver ? { skipCache: true } : undefined))) ?? "";
    if (signOuts !== this.#signOuts) return this.identify(); // the user signed out while it was fetched
    this.isTokenOver = false;
    this.#accept(token);
    return token ? { authorization: `Bearer ${token}` } : {};
  }

  /** @param {string} token */
  #accept(token) {
    const former = this.subject;
    if (former !== subject(token)) this.subjectChanged(former !== "", !token); // before the change: leaving may need the old token
    this.#token = token;
  }

  /**
   * @param {string} path @param {RequestOptions} [options] the body is built after the token was fetched
   * @returns {Promise<Response>} a success; everything else is a PresenceError
   */
  async request(path, { method, body, signal = deadline(REQUEST_TIMEOUT) } = {}) {
    const send = async () =>
      fetch(this.base + path, {
        method: method ?? (body ? "POST" : "GET"),
        headers: { ...(await this.identify()), ...(body && { "content-type": "application/json" }) },
        body: body && JSON.stringify(body()),
        cache: "no-store",
        signal,
      });
    let response = await send();
    if (response.status === 401 && this.getToken) {
      this.isTokenOver = true;
      response = await send();
    }
    if (response.ok) return response;
    const isOurs = /json/.test(response.headers.get("content-type") ?? "");
    if (!isOurs && response.status < 500) this.doubt();
    const { detail, title, errors } = await response.json().catch(() => ({}));
    const reason = errors?.[0]?.detail ?? detail ?? title;
    const message = reason ?? `the presence service answered ${response.status}`;
    throw new PresenceError(message, response.status, pauseOf(response.headers.get("retry-after") ?? ""));
  }

  /** Whatever answers there is not a presence service. */
  doubt() {
    if (this.isGuess) warnOfBase(`no presence service answers at ${this.base}, where this module came from`);
  }

  /**
   * A leave. As plain text it needs no preflight, which a dying page may not get answered; with a leave token no header.
   * @param {string} path @param {Record<string, unknown>} body
   */
  async sendLeave(path, body) {
    const text = JSON.stringify(body);
    const bearer = !body.leave_token && this.#token;
    const headers = bearer ? { authorization: `Bearer ${bearer}`, "content-type": "application/json" } : undefined;
    try {
      if ("keepalive" in Request.prototype || !navigator.sendBeacon?.(this.base + path, text)) await fetch(this.base + path, { method: "POST", keepalive: true, body: text, headers });
    } catch {} // a fetch that extensions have replaced may throw at once
  }
}
