/** The way to one service: requests with a token, bounded in time, and a farewell that outlives the page. */

import { PresenceError } from "./error.js";
import { ANSWER, LOST, bounded } from "./wait.js";

export class Service {
  /** @type {import("./words.js").GetToken | undefined} */ getToken;
  /** The service said that the token is over: the next one must be a new one. */ isTokenOver = false;
  /** The last token, for a farewell that cannot wait. */ #token = "";

  /** @param {string} base */
  constructor(base) {
    this.base = base;
  }

  async #authorization() {
    /** @type {Record<string, string>} */ const headers = {};
    if (!this.getToken) return headers;
    this.#token = (await bounded(this.getToken(this.isTokenOver ? { skipCache: true } : undefined))) ?? "";
    this.isTokenOver = false;
    if (this.#token) headers.authorization = `Bearer ${this.#token}`;
    return headers;
  }

  /**
   * @param {string} path @param {{body?: object, signal?: AbortSignal}} [options]
   * @returns {Promise<Response>} a success; everything else is a PresenceError
   */
  async request(path, { body, signal = AbortSignal.timeout(ANSWER) } = {}) {
    const send = async () =>
      fetch(this.base + path, {
        method: body ? "POST" : "GET",
        headers: { ...(await this.#authorization()), ...(body && { "content-type": "application/json" }) },
        body: body && JSON.stringify(body),
        cache: "no-store",
        signal,
      });
    let response = await send();
    if (response.status === 401 && this.getToken) {
      this.isTokenOver = true;
      response = await send();
    }
    if (response.ok) return response;
    const seconds = Number(response.headers.get("retry-after")) || 0;
    const { detail, title } = await response.json().catch(() => ({}));
    const message = detail ?? title ?? `the presence service answered ${response.status}`;
    throw new PresenceError(message, response.status, Math.min(seconds * 1_000, 2 * LOST));
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
