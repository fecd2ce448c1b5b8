/** The element: turns attributes into a session's options, and the session's state into an eye and a number. */

import { PresenceSession } from "../session/session.js";
import { now } from "../shared/timing.js";
import { Announcer } from "./announcer.js";
import { BadgeAttributes } from "./attributes.js";
import { eye, h } from "./dom.js";
import { directionOf, languageOf, watchLanguage, labelsOf } from "./language.js";
import { Stack } from "./stack.js";
import { applyStyle } from "./style.js";
import { Tooltip } from "./tooltip.js";

const REFETCH = 2_000;
const AVATARS = 5;
const UNKNOWN = "–";
const COMPACT = /** @type {const} */ ({ notation: "compact", maximumFractionDigits: 1 });

/** @typedef {import("../shared/types.js").Snapshot} Snapshot */

/** @type {Snapshot} */
const NOTHING = { state: "connecting", count: null, viewers: null, error: null, refusal: null, isCounting: false };

/**
 * How many people are watching a course right now, live.
 *
 * @customElement live-viewer-badge
 * @attr {string} course-id - the course; the only one that is required
 * @attr {string} chapter-id - the chapter that the viewer is in
 * @attr {string} viewer-id - who watches; not needed with `getToken`, random and anonymous without both
 * @attr {string} name - shown to other viewers, at most 80 characters
 * @attr {string} avatar-url - shown to other viewers, https only
 * @attr {boolean} show-avatars - avatars in the tooltip, kept live
 * @attr {number} max - so many avatars beside the number, yours first; none by default, at most 20
 * @attr {boolean} anonymous - be counted, but never named
 * @attr {boolean} observe - show the number without being counted
 * @attr {boolean} chapters - keep all of `count.chapters` up to date, not only `chapter-id`
 * @attr {string} lang - the badge's language, if not that of its parent
 * @attr {string} dir - its direction, likewise
 * @attr {string} base-url - the service's address, if not where this module was loaded from
 * @attr {string} data-state - set by the badge: connecting, live, stale or offline
 * @fires {CustomEvent<Count>} presence-change - the number, the chapters or the version changed
 * @fires {CustomEvent<{message: string, error: Error}>} presence-error - something failed; it is retried
 * @csspart badge - the whole pill
 * @csspart icon - the eye
 * @csspart count - the number
 * @csspart tooltip - the list of who is here
 * @csspart viewer - a line of that list
 * @csspart avatar - a picture, or initials
 * @csspart stack - the avatars beside the number
 * @csspart rest - "+N" behind them
 * @csspart more - "+N more"
 * @cssprop --lvb-accent - the colour of the pulse
 * @cssprop --lvb-color - text colour; the page's by default
 * @cssprop --lvb-background - a tint of the text colour by default
 * @cssprop --lvb-border - border colour
 * @cssprop --lvb-radius - roundness
 * @cssprop --lvb-padding - inner distance
 * @cssprop --lvb-font - font shorthand
 * @cssprop --lvb-avatar-size - width of an avatar in the tooltip
 * @cssprop --lvb-stack-size - width of an avatar beside the number
 * @cssprop --lvb-tooltip-color - text colour of the tooltip
 * @cssprop --lvb-tooltip-background - background of the tooltip
 * @cssprop --lvb-tooltip-font - font shorthand of the tooltip
 * @cssprop --lvb-tooltip-radius - roundness of the tooltip
 */
export class LiveViewerBadge extends BadgeAttributes {
  static #hasWarned = false;

  /** @type {PresenceSession | null} */ #session = null;
  #state = NOTHING.state;
  #isAway = false;
  #fetchedAt = 0;
  #fetchedFor = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #fetching;
  #isPlanned = false;
  #lastChange = "";
  /** @type {Error | null} */ #refusal = null;
  #count = h("span", { part: "count" }, UNKNOWN);
  #stack = new Stack();
  #badge = h("span", { part: "badge", role: "button", "aria-describedby": "tooltip", "aria-expanded": "false" });
  #tooltip = new Tooltip(this, this.#badge, () => this.#draw());
  #announcer = new Announcer();
  /** @type {(() => void) | undefined} */ #stopWatching;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    applyStyle(root);
    this.#badge.append(eye(), this.#count);
    root.append(this.#badge, this.#stack.element, this.#announcer.element, this.#tooltip.element);
  }

  /** What the badge shows. @type {import("../shared/types.js").Count | null} */
  get count() { return this.#session?.snapshot.count ?? null; }

  connectedCallback() {
    this.upgrade();
    this.dataset.state = this.#state;
    this.#stopWatching ??= watchLanguage(this, () => this.#redraw());
    // Inside a link or button the badge must not be a second tab stop.
    this.#badge.tabIndex = this.closest("a[href], button") ? -1 : 0;
    this.plan();
  }

  /** Moved by moveBefore(): nothing changes. */
  connectedMoveCallback() {}

  /** Moved to another document, where the style sheet of this one is not taken along. */
  adoptedCallback() {
    if (this.shadowRoot) applyStyle(this.shadowRoot);
  }

  disconnectedCallback() {
    this.#tooltip.close();
    this.#announcer.stop();
    this.#stopWatching?.();
    this.#stopWatching = undefined;
    this.plan();
  }

  /** @param {string} name */
  attributeChangedCallback(name) {
    if (name !== "data-state") this.plan();
    else if (this.isConnected && this.dataset.state !== this.#state) this.dataset.state = this.#state; // page morphing removes it
  }

  /** True: the viewer leaves though the element stays, as on a route that is kept hidden; false: joins again. @type {boolean} */
  get away() { return this.#isAway; }
  set away(value) {
    this.#isAway = value;
    this.plan();
  }

  #redraw() {
    if (this.#session) this.#render(this.#session.snapshot);
  }

  /** The labels in the language of this place in the page. */
  get #labels() {
    return labelsOf(languageOf(this), () => this.#redraw());
  }

  /** Several changes in a row are applied as one, and so is a move within the page. */
  plan() {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    queueMicrotask(() => {
      this.#isPlanned = false;
      try {
        this.#apply();
      } catch (error) {
        this.#report(/** @type {Error} */ (error));
      }
    });
  }

  #apply() {
    const options = this.options();
    const isHere = this.isConnected && !this.#isAway;
    if (isHere && options.courseId && this.#session) {
      this.#session.update(options);
      this.#render(this.#session.snapshot);
      return;
    }
    this.#session?.leave();
    this.#session = null;
    if (!isHere) return;
    if (!options.courseId) this.#render(NOTHING);
    const session = new PresenceSession(options);
    this.#session = session;
    session.subscribe((snapshot) => this.#session === session && this.#render(snapshot));
  }

  /** @param {Error} error */
  #report(error) {
    if (!LiveViewerBadge.#hasWarned) console.warn(`<live-viewer-badge>: ${error.message}`);
    LiveViewerBadge.#hasWarned = true;
    this.#emit("presence-error", { message: error.message, error });
  }

  /** @param {string} type @param {unknown} detail */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  /** @param {number} n @param {Intl.NumberFormatOptions} [options] */
  #write(n, options) {
    try {
      return new Intl.NumberFormat(languageOf(this) || undefined, options).format(n);
    } catch {
      return new Intl.NumberFormat("en", options).format(n); // lang can be anything
    }
  }

  /** @param {Snapshot} snapshot */
  #render(snapshot) {
    const { state, count, error, refusal } = snapshot;
    const labels = this.#labels;
    this.dataset.state = this.#state = state;
    this.#badge.dir = this.#tooltip.element.dir = directionOf(this);
    const instead = refusal ? labels.unavailable : snapshot.isCounting ? labels.counting : UNKNOWN;
    const text = count ? this.#write(count.total, COMPACT) : instead;
    if (text !== this.#count.textContent) this.#showNumber(text, Boolean(count));
    const title = this.#title(snapshot);
    this.#badge.setAttribute("aria-label", title);
    if (count) this.#announcer.announce(title, this.observe);
    if (this.max || this.#stack.isShown) this.#drawStack(snapshot);
    if (this.#tooltip.isOpen) this.#draw();
    const change = `${count?.version} ${count?.total} ${JSON.stringify(count?.chapters)}`;
    if (count && change !== this.#lastChange) this.#emit("presence-change", count);
    this.#lastChange = change;
    const problem = error ?? (refusal === this.#refusal ? null : refusal);
    this.#refusal = refusal;
    if (problem) this.#emit("presence-error", { message: problem.message, error: problem });
  }

  /** @param {Snapshot} snapshot */
  #title({ count, state, refusal, isCounting }) {
    const labels = this.#labels;
    if (count) return labels[state === "offline" ? "watched" : "watching"](count.total, this.#write(count.total));
    if (isCounting) return labels.counting;
    return refusal || state === "offline" ? labels.unavailable : labels.connecting;
  }

  /** @param {string} text @param {boolean} isNumber */
  #showNumber(text, isNumber) {
    const wasNumber = this.#count.dataset.number !== undefined;
    this.#count.textContent = text;
    this.#count.toggleAttribute("data-number", isNumber);
    if (!isNumber || !wasNumber || globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches) return;
    this.#count.animate?.([{ opacity: 0, transform: "translateY(35%)" }, {}], { duration: 180, easing: "ease-out" });
  }

  /** The avatars beside the number. @param {Snapshot} snapshot */
  #drawStack({ count }) {
    const avatars = count && this.#session ? this.#session.shown(this.max) : [];
    const more = Math.max(0, (count?.total ?? 0) - avatars.length);
    this.#stack.draw(avatars, avatars.length && more ? `+${this.#write(more, COMPACT)}` : "", this.#labels.nameless);
  }

  #draw() {
    if (!this.#session) return;
    const { snapshot } = this.#session;
    const { state, count, viewers } = snapshot;
    const labels = this.#labels;
    const areStreamed = this.#session.options.viewers && viewers && this.#session.isSure;
    if (!areStreamed) this.#fetch(this.#session);
    this.#tooltip.draw(count, count ? this.#session.shown(AVATARS) : [], {
      title: this.#title(snapshot),
      note: count && (state === "stale" || state === "offline") ? labels[state] : "",
      self: this.#session.self?.viewer_id,
      pictures: this.showAvatars || this.max > 0,
      labels,
      write: (n) => this.#write(n),
    });
  }

  /** @param {PresenceSession} session */
  async #fetch(session) {
    clearTimeout(this.#fetching);
    const version = `${session.options.courseId} ${session.snapshot.count?.version}`;
    if (version === this.#fetchedFor) return;
    const wait = this.#fetchedAt + REFETCH - now();
    if (wait > 0) {
      this.#fetching = setTimeout(() => this.#tooltip.isOpen && this.#draw(), wait);
      return;
    }
    this.#fetchedAt = now();
    this.#fetchedFor = version;
    await session.refreshViewers().catch(() => {}); // names may be refused where the number is not
  }
}
