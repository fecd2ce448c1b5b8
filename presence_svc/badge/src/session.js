/** Presence in a course without an element, for an interface of your own; the element is drawn from one of these. */

import { Hub } from "./hub.js";

/** @typedef {import("./words.js").PresenceOptions} PresenceOptions */
/** @typedef {import("./words.js").Snapshot} Snapshot */

/**
 * Begins at once and ends with `leave()`.
 *
 *     const session = new PresenceSession({ courseId: "c1", viewerId: "u1", baseUrl: "https://presence.example" });
 *     const stop = session.subscribe(({ count, state }) => draw(count?.total, state));
 *     session.update({ chapterId: "ch-2" });
 */
export class PresenceSession {
  /** @type {Set<(snapshot: Snapshot) => void>} */ #listeners = new Set();
  /** @type {import("./course.js").Course | null} */ #course = null;
  /** @type {import("./presence.js").Presence | null} */ #presence = null;
  /** @type {import("./words.js").GetToken | undefined} */ #getToken;

  /** @param {PresenceOptions} options */
  constructor(options) {
    /** @type {Readonly<PresenceOptions>} */ this.options = options;
    this.#attach();
  }

  /** What is known now. @returns {Snapshot} */
  get snapshot() {
    return this.#snapshot(null);
  }

  /** Who we are to the service; with a token known after the first answer. @returns {string | undefined} */
  get viewerId() {
    return this.#presence?.viewerId;
  }

  /** Changes any of the options while it runs; after `leave()` it begins anew. @param {Partial<PresenceOptions>} changes */
  update(changes) {
    this.options = { ...this.options, ...changes };
    this.#attach();
  }

  /** Calls the listener now and after each change, until the returned function is called.
   * @param {(snapshot: Snapshot) => void} listener @returns {() => void} */
  subscribe(listener) {
    this.#listeners.add(listener);
    listener(this.snapshot);
    return () => void this.#listeners.delete(listener);
  }

  /** Says "I am here" now rather than when it is due. */
  async heartbeat() {
    await this.#presence?.beat();
  }

  /** Those who are here, most recently heard from first. @param {number} [limit] @returns {Promise<import("./words.js").Viewer[]>} */
  async viewers(limit = 5) {
    if (!this.#course) return [];
    const response = await this.#course.hub.service.request(`${this.#course.path}/viewers?limit=${limit}`);
    return (await response.json()).viewers;
  }

  /** Out of the course, at once. */
  leave() {
    this.#presence?.drop(this);
    this.#course?.sessions.delete(this);
    this.#course?.hub.stream.sync();
    this.#presence = this.#course = null;
  }

  /** @ignore @param {Error | null} error */
  notify(error) {
    for (const listener of [...this.#listeners]) listener(this.#snapshot(error));
  }

  /** @param {Error | null} error @returns {Snapshot} */
  #snapshot(error) {
    const course = this.#course;
    const state = course?.refusal ? "offline" : (course?.hub.state ?? "connecting");
    const isKnown = course?.known || state === "offline";
    return { state: isKnown ? state : "connecting", count: course?.view() ?? null, viewers: course?.viewers ?? null, error };
  }

  #attach() {
    const { courseId, viewerId, baseUrl, observe } = this.options;
    const getToken = this.options.getToken || undefined;
    if (!courseId) throw new TypeError("a live viewer count needs a course id");
    const hub = Hub.at(baseUrl);
    const before = hub === this.#course?.hub ? this.#getToken : undefined;
    this.#getToken = getToken;
    if (getToken !== before) hub.authorize(getToken); // another badge's is none of ours to take away
    const course = hub.course(courseId);
    const presence = observe ? null : course.presence(viewerId || "", this.#presence);
    if (course !== this.#course) this.#course?.sessions.delete(this);
    if (presence !== this.#presence) this.#presence?.drop(this);
    this.#course = course;
    this.#presence = presence;
    course.sessions.add(this);
    presence?.speak(this);
    hub.stream.sync();
  }
}
