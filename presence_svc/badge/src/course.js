/** What this page knows of one course, and the number it shows for it. */

import { Presence } from "./presence.js";
import { Roster } from "./roster.js";

/** @typedef {import("./words.js").Count} Count */

export class Course {
  /** @type {Set<import("./session.js").PresenceSession>} */ sessions = new Set();
  /** @type {Map<string, Presence>} by viewer */ presences = new Map();
  /** @type {Count | null} the newest heard */ newest = null;
  /** @type {Count | null} the newest that was not `warming` */ trusted = null;
  /** @type {Count | null} the one worth showing */ known = null;
  /** @type {import("./words.js").Viewer[] | null} as the service said them last */ viewers = null;
  roster = new Roster();
  /** Its names are not for us. */ isNameless = false;
  /** How far the service's clock is before ours. */ ahead = 0;
  /** @type {(Error & {status?: number}) | null} why the service tells us nothing of this course */ refusal = null;

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
   * Takes a Count, unless it is an older one. After a restart Redis knows few viewers at first and says `warming`: until
   * it is over we rather show what we knew before.
   * @param {Count} count
   */
  accept(count) {
    this.refusal = null;
    const last = this.newest;
    if (last && (count.version - last.version || count.as_of - last.as_of) < 0) return;
    this.newest = count;
    this.ahead = count.as_of - Date.now();
    if (!count.warming) this.trusted = count;
    else if (!count.total && !this.known) return this.notify(); // better no number than a false 0
    this.known = this.trusted && this.trusted.total > count.total ? this.trusted : count;
    for (const presence of this.presences.values()) presence.saw(count);
    this.notify();
  }

  /** Redis is new and knows nobody yet: whoever is here will have said so within a lease. */
  get isCounting() {
    return Boolean(this.newest?.warming && !this.known);
  }

  /** Takes names. @param {{viewers: import("./words.js").Viewer[], total?: number, named?: number}} news */
  meet({ viewers, named = this.newest?.named ?? viewers.length }) {
    this.viewers = viewers;
    this.roster.meet(viewers, viewers.length >= named, this.ahead);
    this.notify();
  }

  /** A number was said, by whatever way. */
  get isHeard() {
    return Boolean(this.known) || [...this.presences.values()].some((presence) => presence.isCounted);
  }

  /** No course that this could be: there is nothing to try again. */
  get isImpossible() {
    return Boolean(this.refusal && this.refusal.status !== 403);
  }

  /** The Count to show: the known one, with oneself in it before the service can have said so. @returns {Count | null} */
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
   * The presence of a viewer, or ("") of whoever we are to the service; `former` goes on in it, if it is the same person.
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
