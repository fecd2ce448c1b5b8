/** Presence in a course without the element, for an interface of your own; the element itself is drawn from one. */

import { asText, isId } from "../shared/checks.js";
import { rethrow } from "../shared/error.js";
import { Hub } from "./hub.js";

/** @typedef {import("../shared/types.js").PresenceOptions} PresenceOptions */
/** @typedef {import("../shared/types.js").Snapshot} Snapshot */

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
  /** @type {import("../shared/types.js").GetToken | undefined} */ #getToken;
  /** @type {AbortController | null} the page is prerendered, for a visit that may never come */ #waiting = null;

  /** @param {PresenceOptions} options */
  constructor(options) {
    /** @type {Readonly<PresenceOptions>} */ this.options = options;
    this.#attach();
  }

  /** What is known now. @returns {Snapshot} */
  get snapshot() {
    return this.#snapshot(null);
  }

  /** Our id in the service; with a token it is known after the first reply. @returns {string | undefined} */
  get viewerId() {
    return this.#presence?.viewerId;
  }

  /** Our own entry in the roster, if known. @ignore @returns {import("../shared/types.js").Viewer | null} */
  get self() {
    return this.#presence?.self ?? null;
  }

  /** All who are shown are known to be present. @ignore */
  get isSure() {
    return this.#course?.roster.isSure ?? false;
  }

  /** @ignore @param {number} n @returns {import("../shared/types.js").Viewer[]} in a stable order */
  shown(n) {
    return this.#course?.roster.isHeard ? this.#course.roster.shown(n, this.self) : [];
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

  /** Sends a heartbeat now, before it is due. */
  async heartbeat() {
    await this.#presence?.beat();
  }

  /** Those who are here, most recently heard from first. @param {number} [limit] @returns {Promise<import("../shared/types.js").Viewer[]>} */
  async viewers(limit = 5) {
    return (await this.#ask(limit)).viewers ?? [];
  }

  /** Refreshes the names. @ignore */
  async refreshViewers() {
    const course = this.#course;
    const first = await this.#ask(5);
    // If there are more, only a longer list tells whether somebody who is shown has left.
    const news = first.named > first.viewers?.length ? await this.#ask(100) : first;
    if (news.viewers && course && course === this.#course) course.acceptViewers(news);
  }

  /** @param {number} limit @returns {Promise<any>} */
  async #ask(limit) {
    if (!this.#course) return {};
    return (await this.#course.hub.service.request(`${this.#course.path}/viewers?limit=${limit}`)).json();
  }

  /** Leaves the course at once. */
  leave() {
    this.#waiting?.abort();
    this.#waiting = null;
    this.#presence?.drop(this);
    this.#course?.sessions.delete(this);
    this.#course?.hub.source.sync();
    this.#presence = this.#course = null;
  }

  /** @ignore @param {Error | null} error */
  notify(error) {
    for (const listener of [...this.#listeners]) {
      try {
        listener(this.#snapshot(error));
      } catch (thrown) {
        rethrow(thrown); // a stream must not end by it
      }
    }
  }

  /** @param {Error | null} error @returns {Snapshot} */
  #snapshot(error) {
    const course = this.#course;
    const refusal = course?.refusal ?? null;
    const state = refusal ? "offline" : (course?.hub.state ?? "connecting");
    const isKnown = (state === "stale" ? course?.isHeard : course?.known) || state === "offline";
    return {
      state: isKnown ? state : "connecting",
      count: course?.view() ?? null,
      viewers: course?.viewers ?? null,
      error,
      refusal,
      isCounting: course?.isCounting ?? false,
    };
  }

  /** @returns {Readonly<PresenceOptions>} with ids as text; throws a TypeError for anything else */
  #checked() {
    const { courseId, chapterId, viewerId, name } = this.options;
    const ids = { chapterId: asText(chapterId, "chapterId"), viewerId: asText(viewerId, "viewerId"), name: asText(name, "name") };
    const id = asText(courseId, "courseId");
    if (!id) throw new TypeError("a live viewer count needs a course id");
    return { ...this.options, ...ids, courseId: id };
  }

  /** A prerendered page has no viewer: it is counted from the moment it is shown. */
  #isPrerendered() {
    const { document } = globalThis;
    if (!(/** @type {any} */ (document)?.prerendering)) return false;
    if (this.#waiting) return true;
    this.#waiting = new AbortController();
    const { signal } = this.#waiting;
    document.addEventListener("prerenderingchange", () => this.#attach(), { once: true, signal });
    return true;
  }

  #attach() {
    this.options = this.#checked();
    if (this.#isPrerendered()) return;
    this.#waiting = null;
    const { viewerId, baseUrl, observe } = this.options;
    const courseId = String(this.options.courseId);
    const getToken = this.options.getToken || undefined;
    const hub = Hub.at(baseUrl);
    const before = hub === this.#course?.hub ? this.#getToken : undefined;
    this.#getToken = getToken;
    if (getToken !== before) hub.authorize(getToken); // a session without one must not remove another's
    const course = hub.course(courseId);
    if (!isId(courseId) && !course.refusal) course.refuse(new TypeError("no id can be like this"));
    const presence = observe ? null : course.presence(String(viewerId ?? ""), this.#presence);
    if (course !== this.#course) this.#course?.sessions.delete(this);
    if (presence !== this.#presence) this.#presence?.drop(this);
    this.#course = course;
    this.#presence = presence;
    course.sessions.add(this);
    presence?.update(this);
    hub.source.sync();
  }
}
