/** The way to one service: requests with a token, bounded in time, and a farewell that outlives the page. */

import { PresenceError } from "./error.js";
import { warnOfBase } from "./place.js";
import { subject } from "./token.js";
import { ANSWER, LOST, bounded, deadline } from "./wait.js";

/** @typedef {{method?: string, body?: () => object, signal?: AbortSignal}} RequestOptions */

export class Service {
  /** @type {import("./words.js").GetToken | undefined} */ getToken;
  /** The service said that the token is over: the next one must be a new one. */ isTokenOver = false;
  /** The last token, for a farewell that cannot wait. */ #token = "";
  #signOuts = 0;

  /**
   * @param {string} base @param {boolean} isGuess nobody said that the service is there
   * @param {(isSwitch: boolean, isOut: boolean) => void} turned called when tokens
   *   are somebody else's from now on: whether there was somebody before, and whether there is nobody now
   */
  constructor(base, isGuess, turned) {
    this.base = base;
    this.isGuess = isGuess;
    this.turned = turned;
  }

  /** Who we are by the last token; empty for a visitor. */
  get subject() {
    return subject(this.#token);
  }

  /** Without a function whoever was signed in is not any more, from this moment. @param {import("./words.js").GetToken | undefined} getToken */
  authorize(getToken) {
    this.getToken = getToken;
    if (getToken) return;
    this.#signOuts += 1;
    this.#take("");
  }

  /** The token of now. @returns {Promise<Record<string, string>>} as headers */
  async identify() {
    if (!this.getToken) return {};
    const signOuts = this.#signOuts;
    const token = (await bounded(this.getToken(this.isTokenOver ? { skipCache: true } : undefined))) ?? "";
    if (signOuts !== this.#signOuts) return this.identify(); // it is theirs who have signed out meanwhile
    this.isTokenOver = false;
    this.#take(token);
    return token ? { authorization: `Bearer ${token}` } : {};
  }

  /** @param {string} token */
  #take(token) {
    const former = this.subject;
    if (former !== subject(token)) this.turned(former !== "", !token); // first: who goes may need the old token for it
    this.#token = token;
  }

  /**
   * @param {string} path @param {RequestOptions} [options] the body is asked for once it is known who we are
   * @returns {Promise<Response>} a success; everything else is a PresenceError
   */
  async request(path, { method, body, signal = deadline(ANSWER) } = {}) {
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
    const seconds = Number(response.headers.get("retry-after")) || 0;
    const { detail, title, errors } = await response.json().catch(() => ({}));
    const reason = errors?.[0]?.detail ?? detail ?? title;
    const message = reason ?? `the presence service answered ${response.status}`;
    throw new PresenceError(message, response.status, Math.min(seconds * 1_000, 2 * LOST));
  }

  /** What answers there does not speak as a presence service does. */
  doubt() {
    if (this.isGuess) warnOfBase(`no presence service answers at ${this.base}, where this module came from`);
  }

  /**
   * A leave. As plain text it needs no preflight, which a dying page may not get answered; with a leave token no header.
   * @param {string} path @param {Record<string, unknown>} body
   */
  farewell(path, body) {
    const text = JSON.stringify(body);
    const bearer = !body.leave_token && this.#token;
    const headers = bearer ? { authorization: `Bearer ${bearer}`, "content-type": "application/json" } : undefined;
    if (!("keepalive" in Request.prototype)) navigator.sendBeacon(this.base + path, text);
    else fetch(this.base + path, { method: "POST", keepalive: true, body: text, headers }).catch(() => {});
  }
}
