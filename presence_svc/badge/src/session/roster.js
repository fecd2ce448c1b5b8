/**
 * The named viewers of a course in a stable order: oneself, then by time of joining. The service may list those first
 * who sent a heartbeat last, which always changes; a viewer who is shown stays until they leave, and then makes room.
 */

import { now } from "../shared/timing.js";

/** @typedef {import("../shared/types.js").Viewer} Viewer */

const MOST = 20; // that any badge shows
const LEASE = 60_000; // where the service names no end

export class Roster {
  /** @type {Map<string, Viewer & {until: number}>} */ #known = new Map();
  /** @type {string[]} who is shown, longest first */ #shown = [];
  /** All named viewers are known. */ isWhole = false;
  /** A viewer who was shown and is not in the last list has left. */ isSure = false;
  /** A list arrived: we may see names. */ isHeard = false;

  /**
   * @param {Viewer[]} viewers the list @param {boolean} isWhole it has all named viewers
   * @param {number} ahead how far the service's clock is ahead of ours, in milliseconds
   */
  accept(viewers, isWhole, ahead) {
    const time = now();
    const isOrdered = viewers.length > 2 && viewers.every((one, i) => !i || byJoining(viewers[i - 1], one) < 0);
    this.isSure = isWhole || isOrdered; // older services list those who were heard from last, in that order
    if (this.isSure) this.#known.clear();
    for (const [id, { until }] of this.#known) if (until < time) this.#known.delete(id);
    for (const viewer of viewers) {
      const until = viewer.expires_at ? viewer.expires_at - ahead : time + LEASE;
      this.#known.set(viewer.viewer_id, { ...viewer, until });
    }
    this.isWhole = isWhole;
    this.isHeard = true;
  }

  clear() {
    this.#known.clear();
    this.isHeard = this.isWhole = this.isSure = false;
  }

  /**
   * @param {number} n at most so many @param {Viewer | null} self comes first, also if the list lacks us
   * @returns {Viewer[]}
   */
  shown(n, self) {
    const time = now();
    // An older service that hides ids does not tell ours: one of the entries is us, and we cannot know which.
    const isHidden = self && !self.viewer_id.startsWith("~") && [...this.#known.keys()].some((id) => id.startsWith("~"));
    if (self && !this.#known.has(self.viewer_id) && (this.isWhole || isHidden)) self = null;
    const others = [...this.#known.values()].filter((one) => one.viewer_id !== self?.viewer_id);
    const here = others.filter(({ until }) => this.isSure || until > time).sort(byJoining);
    const ids = here.map((one) => one.viewer_id);
    const stay = this.#shown.filter((id) => ids.includes(id));
    this.#shown = [...stay, ...ids.filter((id) => !stay.includes(id))].slice(0, MOST);
    const chosen = this.#shown.slice(0, Math.max(0, n - (self ? 1 : 0)));
    const rest = here.filter((one) => chosen.includes(one.viewer_id));
    if (!n) return [];
    return self ? [{ ...self, ...this.#known.get(self.viewer_id) }, ...rest] : rest;
  }
}

/** @param {Viewer} a @param {Viewer} b */
function byJoining(a, b) {
  return (a.joined_at ?? 0) - (b.joined_at ?? 0) || (a.viewer_id < b.viewer_id ? -1 : 1);
}
