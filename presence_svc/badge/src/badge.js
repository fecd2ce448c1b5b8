/** The element: attributes in, an eye and a number out. What it knows comes from its PresenceSession. */

import { Announcer } from "./announcer.js";
import { BadgeAttributes } from "./attributes.js";
import { eye, h } from "./dom.js";
import { PresenceSession } from "./session.js";
import { dress } from "./style.js";
import { Tooltip } from "./tooltip.js";
import { labels } from "./words.js";

const REFETCH = 2_000;
const UNKNOWN = "–";
const COMPACT = /** @type {const} */ ({ notation: "compact", maximumFractionDigits: 1 });

/** @typedef {import("./words.js").Snapshot} Snapshot */

/**
 * How many people are watching a course right now, live.
 *
 * @customElement live-viewer-badge
 * @attr {string} course-id - the course; the only one that is required
 * @attr {string} chapter-id - the chapter that the viewer is in
 * @attr {string} viewer-id - who watches; not needed with `getToken`, random and anonymous without both
 * @attr {string} name - shown to other viewers, at most 80 characters
 * @attr {string} avatar-url - shown to other viewers, https only
 * @attr {boolean} show-avatars - faces in the tooltip, kept live
 * @attr {boolean} anonymous - be counted, but never named
 * @attr {boolean} observe - show the number without being counted
 * @attr {string} base-url - where the service is, if not where this module came from
 * @attr {string} data-state - set by the badge: connecting, live, stale or offline
 * @fires {CustomEvent<Count>} presence-change - the number, the chapters or the version changed
 * @fires {CustomEvent<{message: string, error: Error}>} presence-error - something failed; it is tried again
 * @csspart badge - the whole pill
 * @csspart icon - the eye
 * @csspart count - the number
 * @csspart tooltip - the list of who is here
 * @csspart viewer - a line of that list
 * @csspart avatar - a face, or initials
 * @csspart more - "+N more"
 * @cssprop --lvb-accent - the colour of the pulse
 * @cssprop --lvb-color - text colour; the page's by default
 * @cssprop --lvb-background - a tint of the text colour by default
 * @cssprop --lvb-border - border colour
 * @cssprop --lvb-radius - roundness
 * @cssprop --lvb-padding - inner distance
 * @cssprop --lvb-font - font shorthand
 * @cssprop --lvb-tooltip-color - text colour of the tooltip
 * @cssprop --lvb-tooltip-background - background of the tooltip
 * @cssprop --lvb-tooltip-font - font shorthand of the tooltip
 * @cssprop --lvb-tooltip-radius - roundness of the tooltip
 */
export class LiveViewerBadge extends BadgeAttributes {
  static #hasWarned = false;

  /** @type {PresenceSession | null} */ #session = null;
  /** @type {import("./words.js").Viewer[]} for the tooltip, where no stream brings them */ #fetched = [];
  #fetchedAt = 0;
  #isPlanned = false;
  #told = "";
  #count = h("span", { part: "count" }, UNKNOWN);
  #badge = h("span", { part: "badge", role: "button", "aria-describedby": "tooltip", "aria-expanded": "false" });
  #tooltip = new Tooltip(this, this.#badge, () => this.#draw());
  #announcer = new Announcer();

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    dress(root);
    this.#badge.append(eye(), this.#count);
    root.append(this.#badge, this.#announcer.element, this.#tooltip.element);
  }

  /** What the badge shows. @type {import("./words.js").Count | null} */
  get count() { return this.#session?.snapshot.count ?? null; }

  connectedCallback() {
    this.upgrade();
    this.dataset.state ||= "connecting";
    // Within a link or button the badge is a part of it, and no second stop for the keyboard.
    this.#badge.tabIndex = this.closest("a[href], button") ? -1 : 0;
    this.plan();
  }

  /** Moved by moveBefore(): nothing has changed. */
  connectedMoveCallback() {}

  disconnectedCallback() {
    this.#tooltip.close();
    this.#announcer.stop();
    this.plan();
  }

  attributeChangedCallback() {
    this.plan();
  }

  /** Several changes in a row are one, and so is a move within the page. */
  plan() {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    queueMicrotask(() => {
      this.#isPlanned = false;
      try {
        this.#follow();
      } catch (error) {
        this.#complain(/** @type {Error} */ (error));
      }
    });
  }

  #follow() {
    const options = this.options();
    if (options.courseId !== this.#session?.options.courseId) this.#fetched = [];
    if (this.isConnected && options.courseId && this.#session) {
      this.#session.update(options);
      this.#render(this.#session.snapshot);
      return;
    }
    this.#session?.leave();
    this.#session = null;
    if (!this.isConnected) return;
    const session = new PresenceSession(options);
    this.#session = session;
    session.subscribe((snapshot) => this.#session === session && this.#render(snapshot));
  }

  /** @param {Error} error */
  #complain(error) {
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
    const language = /** @type {HTMLElement | null} */ (this.closest("[lang]"))?.lang;
    try {
      return new Intl.NumberFormat(language || undefined, options).format(n);
    } catch {
      return String(n); // lang can be anything
    }
  }

  /** @param {Snapshot} snapshot */
  #render({ state, count, error }) {
    this.dataset.state = state;
    const text = count ? this.#write(count.total, COMPACT) : UNKNOWN;
    if (text !== this.#count.textContent) this.#turn(text);
    const title = this.#title(count, state);
    this.#badge.setAttribute("aria-label", title);
    if (count) this.#announcer.say(title, this.observe);
    if (this.#tooltip.isOpen) this.#draw();
    const told = `${count?.version} ${count?.total}`;
    if (count && told !== this.#told) this.#emit("presence-change", count);
    this.#told = told;
    if (error) this.#emit("presence-error", { message: error.message, error });
  }

  /** @param {import("./words.js").Count | null} count @param {import("./words.js").State} state */
  #title(count, state) {
    if (!count) return labels.connecting;
    return labels[state === "offline" ? "watched" : "watching"](count.total, this.#write(count.total));
  }

  /** @param {string} text */
  #turn(text) {
    const isFirst = this.#count.textContent === UNKNOWN;
    this.#count.textContent = text;
    if (isFirst || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    this.#count.animate?.([{ opacity: 0, transform: "translateY(35%)" }, {}], { duration: 180, easing: "ease-out" });
  }

  #draw() {
    if (!this.#session) return;
    const { state, count, viewers } = this.#session.snapshot;
    if (!viewers) this.#fetch(this.#session);
    this.#tooltip.draw(count, viewers ?? this.#fetched, {
      title: this.#title(count, state),
      note: state === "stale" || state === "offline" ? labels[state] : "",
      self: this.#session.viewerId,
      pictures: this.showAvatars,
      write: (n) => this.#write(n),
    });
  }

  /** @param {PresenceSession} session */
  async #fetch(session) {
    if (Date.now() - this.#fetchedAt < REFETCH) return;
    this.#fetchedAt = Date.now();
    const viewers = await session.viewers().catch(() => []); // perhaps the names are not for us; the number is
    if (session !== this.#session) return;
    this.#fetched = viewers;
    if (this.#tooltip.isOpen) this.#draw();
  }
}
