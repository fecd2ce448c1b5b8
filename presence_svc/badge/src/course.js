/** What this page knows of one course, and the number it shows for it. */

import { Presence } from "./presence.js";

/** @typedef {import("./words.js").Count} Count */

export class Course {
  /** @type {Set<import("./session.js").PresenceSession>} */ sessions = new Set();
  /** @type {Map<string, Presence>} by viewer */ presences = new Map();
  /** @type {Count | null} the newest heard */ newest = null;
  /** @type {Count | null} the newest that was not `warming` */ trusted = null;
  /** @type {Count | null} the one worth showing */ known = null;
  /** @type {import("./words.js").Viewer[] | null} */ viewers = null;
  /** @type {Error | null} why the service tells us nothing of this course */ refusal = null;

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
    if (!count.warming) this.trusted = count;
    else if (!count.total && !this.known) return; // better no number than a false 0
    this.known = this.trusted && this.trusted.total > count.total ? this.trusted : count;
    for (const presence of this.presences.values()) presence.saw(count);
    this.notify();
  }

  /** The Count to show: the known one, with oneself in it before the service can have said so. @returns {Count | null} */
  view() {
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

  /** @param {Error} error */
  refuse(error) {
    this.refusal = error;
    this.notify(error);
  }

  notify(/** @type {Error | null} */ error = null) {
    for (const session of this.sessions) session.notify(error);
  }
}
