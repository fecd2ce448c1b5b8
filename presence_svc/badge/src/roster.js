/**
 * Who may be named in a course, in an order that stays: oneself, then by joining. The service tells who was heard from
 * last, which changes with every heartbeat; whoever is shown stays until they have left, and only then makes room.
 */

/** @typedef {import("./words.js").Viewer} Viewer */

const MOST = 20; // that anybody shows
const LEASE = 60_000; // where the service does not say until when

export class Roster {
  /** @type {Map<string, Viewer & {until: number}>} */ #known = new Map();
  /** @type {string[]} whom we show, in the order of who makes room for whom */ #shown = [];
  /** All that are named are known. */ isWhole = false;
  /** Whoever we showed and was not told of now has left. */ isSure = false;
  /** Anything was heard: names are for us. */ isHeard = false;

  /**
   * @param {Viewer[]} viewers some of those who are here @param {boolean} isWhole or all
   * @param {number} ahead of the service's clock before ours, in milliseconds
   */
  meet(viewers, isWhole, ahead) {
    const now = Date.now();
    const isOrdered = viewers.length > 2 && viewers.every((one, i) => !i || byJoining(viewers[i - 1], one) < 0);
    this.isSure = isWhole || isOrdered; // services of before tell of those heard from last, in that order
    if (this.isSure) this.#known.clear();
    for (const [id, { until }] of this.#known) if (until < now) this.#known.delete(id);
    for (const viewer of viewers) {
      const until = viewer.expires_at ? viewer.expires_at - ahead : now + LEASE;
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
   * @param {number} n at most so many @param {Viewer | null} self first, also where some are named and not us
   * @returns {Viewer[]}
   */
  shown(n, self) {
    const now = Date.now();
    // Ids that are hidden by a service that does not say which is ours: we are one of the lines, and do not know which.
    const isHidden = self && !self.viewer_id.startsWith("~") && [...this.#known.keys()].some((id) => id.startsWith("~"));
    if (self && !this.#known.has(self.viewer_id) && (this.isWhole || isHidden)) self = null;
    const others = [...this.#known.values()].filter((one) => one.viewer_id !== self?.viewer_id);
    const here = others.filter(({ until }) => this.isSure || until > now).sort(byJoining);
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
