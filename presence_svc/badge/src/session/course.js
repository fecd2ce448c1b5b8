/** What this page knows of one course, and the count it shows. */

import { now } from "../shared/timing.js";
import { Presence } from "./presence.js";
import { Roster } from "./roster.js";

/** @typedef {import("../shared/types.js").Count} Count */

export class Course {
  /** @type {Set<import("./session.js").PresenceSession>} */ sessions = new Set();
  /** @type {Map<string, Presence>} by viewer */ presences = new Map();
  /** @type {Count | null} the newest received */ newest = null;
  /** @type {Count | null} the newest that was not `warming` */ trusted = null;
  /** @type {Count | null} the one worth showing */ known = null;
  /** @type {import("../shared/types.js").Viewer[] | null} as last received */ viewers = null;
  roster = new Roster();
  /** How far the service's clock is ahead of now(), in milliseconds. */ ahead = 0;
  /** @type {(Error & {status?: number}) | null} why the service refuses this course */ refusal = null;

  /** @param {import("./hub.js").Hub} hub @param {string} id */
  constructor(hub, id) {
    this.hub = hub;
    this.id = id;
  }

  get path() {
    return `/v1/courses/${encodeURIComponent(this.id)}`;
  }

  get isWatched() {
    return this.sessions.size + this.presences.size > 0;
  }

  /**
   * Takes a Count, unless it is older than the last. After a restart of Redis counts are too low at first and marked
   * `warming`: until that is over the previous count is shown, if it is higher.
   * @param {Count} count
   */
  accept(count) {
    this.refusal = null;
    const last = this.newest;
    if (last && (count.version - last.version || count.as_of - last.as_of) < 0) return;
    this.newest = count;
    this.ahead = count.as_of - now();
    if (!count.warming) this.trusted = count;
    else if (!count.total && !this.known) return this.notify(); // no number is better than a false 0
    this.known = this.trusted && this.trusted.total > count.total ? this.trusted : count;
    for (const presence of this.presences.values()) presence.reconcile(count);
    this.notify();
  }

  /** Redis is new and empty: within one lease all viewers will have sent a heartbeat. */
  get isCounting() {
    return Boolean(this.newest?.warming && !this.known);
  }

  /** Takes a list of viewers. @param {{viewers: import("../shared/types.js").Viewer[], total?: number, named?: number}} news */
  acceptViewers({ viewers, named = this.newest?.named ?? viewers.length }) {
    this.viewers = viewers;
    this.roster.accept(viewers, viewers.length >= named, this.ahead);
    this.notify();
  }

  /** A count arrived, by stream, read or heartbeat. */
  get isHeard() {
    return Boolean(this.known) || [...this.presences.values()].some((presence) => presence.isCounted);
  }

  /** The course id is invalid: trying again is pointless. */
  get isImpossible() {
    return Boolean(this.refusal && this.refusal.status !== 403);
  }

  /** The Count to show: the known one, with our own viewers in it before the service can have counted them. @returns {Count | null} */
  view() {
    if (this.refusal) return null;
    let floor = 0;
    let isAnonymous = false;
    for (const presence of this.presences.values()) {
      if (presence.floor > floor) ({ floor, isAnonymous } = presence);
    }
    const blank = { course_id: this.id, total: 0, named: 0, anonymous: 0, chapters: {}, version: 0, as_of: 0 };
    const count = this.known ?? blank;
    const missing = floor - count.total;
    if (missing <= 0) return this.known;
    const named = count.named + (isAnonymous ? 0 : missing);
    return { ...count, total: floor, named, anonymous: floor - named };
  }

  /**
   * The presence of a viewer, or ("") of the token's subject or the visitor; `former` is kept if it is the same person.
   * @param {string} slot @param {Presence | null} former
   */
  presence(slot, former) {
    const own = former?.course === this ? former : null;
    const presence = this.presences.get(slot) ?? own?.becomes(slot) ?? new Presence(this, slot);
    this.presences.set(slot, presence);
    return presence;
  }

  /** @param {Error & {status?: number}} error */
  refuse(error) {
    const isNews = !this.isImpossible;
    this.refusal = error;
    if (isNews && this.isImpossible) console.warn(`live-viewer-badge: course ${JSON.stringify(this.id)}: ${error.message}`);
    this.notify(error);
  }

  notify(/** @type {Error | null} */ error = null) {
    for (const session of this.sessions) session.notify(error);
  }
}
