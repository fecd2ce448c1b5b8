/** The element: attributes in, an eye and a number out. What it knows comes from its PresenceSession. */

import { Announcer } from "./announcer.js";
import { BadgeAttributes } from "./attributes.js";
import { eye, h } from "./dom.js";
import { directionOf, languageOf, watchLanguage, wordsOf } from "./language.js";
import { PresenceSession } from "./session.js";
import { Stack } from "./stack.js";
import { dress } from "./style.js";
import { Tooltip } from "./tooltip.js";

const REFETCH = 2_000;
const FACES = 5;
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
 * @attr {number} max - so many faces beside the number, yours first; none by default, at most 20
 * @attr {boolean} anonymous - be counted, but never named
 * @attr {boolean} observe - show the number without being counted
 * @attr {boolean} chapters - keep all of `count.chapters` up to date, not only `chapter-id`
 * @attr {string} lang - the badge's language, if not that of what it stands in
 * @attr {string} dir - its direction, likewise
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
 * @csspart stack - the faces beside the number
 * @csspart rest - "+N" behind them
 * @csspart more - "+N more"
 * @cssprop --lvb-accent - the colour of the pulse
 * @cssprop --lvb-color - text colour; the page's by default
 * @cssprop --lvb-background - a tint of the text colour by default
 * @cssprop --lvb-border - border colour
 * @cssprop --lvb-radius - roundness
 * @cssprop --lvb-padding - inner distance
 * @cssprop --lvb-font - font shorthand
 * @cssprop --lvb-avatar-size - width of a face in the tooltip
 * @cssprop --lvb-stack-size - width of a face beside the number
 * @cssprop --lvb-tooltip-color - text colour of the tooltip
 * @cssprop --lvb-tooltip-background - background of the tooltip
 * @cssprop --lvb-tooltip-font - font shorthand of the tooltip
 * @cssprop --lvb-tooltip-radius - roundness of the tooltip
 */
export class LiveViewerBadge extends BadgeAttributes {
  static #hasWarned = false;

  /** @type {PresenceSession | null} */ #session = null;
  #fetchedAt = 0;
  #fetchedFor = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #fetching;
  #isPlanned = false;
  #told = "";
  /** @type {Error | null} */ #refusal = null;
  #count = h("span", { part: "count" }, UNKNOWN);
  #stack = new Stack();
  #badge = h("span", { part: "badge", role: "button", "aria-describedby": "tooltip", "aria-expanded": "false" });
  #tooltip = new Tooltip(this, this.#badge, () => this.#draw());
  #announcer = new Announcer();
  /** @type {(() => void) | undefined} */ #deafen;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    dress(root);
    this.#badge.append(eye(), this.#count);
    root.append(this.#badge, this.#stack.element, this.#announcer.element, this.#tooltip.element);
  }

  /** What the badge shows. @type {import("./words.js").Count | null} */
  get count() { return this.#session?.snapshot.count ?? null; }

  connectedCallback() {
    this.upgrade();
    this.dataset.state ||= "connecting";
    this.#deafen ??= watchLanguage(() => this.#redraw());
    // Within a link or button the badge is a part of it, and no second stop for the keyboard.
    this.#badge.tabIndex = this.closest("a[href], button") ? -1 : 0;
    this.plan();
  }

  /** Moved by moveBefore(): nothing has changed. */
  connectedMoveCallback() {}

  disconnectedCallback() {
    this.#tooltip.close();
    this.#announcer.stop();
    this.#deafen?.();
    this.#deafen = undefined;
    this.plan();
  }

  attributeChangedCallback() {
    this.plan();
  }

  #redraw() {
    if (this.#session) this.#render(this.#session.snapshot);
  }

  /** What is said, in the language of where we are. */
  get #words() {
    return wordsOf(languageOf(this), () => this.#redraw());
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
    try {
      return new Intl.NumberFormat(languageOf(this) || undefined, options).format(n);
    } catch {
      return String(n); // lang can be anything
    }
  }

  /** @param {Snapshot} snapshot */
  #render(snapshot) {
    const { state, count, error, refusal } = snapshot;
    const words = this.#words;
    this.dataset.state = state;
    this.#badge.dir = this.#tooltip.element.dir = directionOf(this);
    const instead = refusal ? words.unavailable : snapshot.isCounting ? words.counting : UNKNOWN;
    const text = count ? this.#write(count.total, COMPACT) : instead;
    if (text !== this.#count.textContent) this.#turn(text, Boolean(count));
    const title = this.#title(snapshot);
    this.#badge.setAttribute("aria-label", title);
    if (count) this.#announcer.say(title, this.observe);
    if (this.max || this.#stack.isShown) this.#pile(snapshot);
    if (this.#tooltip.isOpen) this.#draw();
    const told = `${count?.version} ${count?.total} ${JSON.stringify(count?.chapters)}`;
    if (count && told !== this.#told) this.#emit("presence-change", count);
    this.#told = told;
    const problem = error ?? (refusal === this.#refusal ? null : refusal);
    this.#refusal = refusal;
    if (problem) this.#emit("presence-error", { message: problem.message, error: problem });
  }

  /** @param {Snapshot} snapshot */
  #title({ count, state, refusal, isCounting }) {
    const words = this.#words;
    if (count) return words[state === "offline" ? "watched" : "watching"](count.total, this.#write(count.total));
    if (isCounting) return words.counting;
    return refusal || state === "offline" ? words.unavailable : words.connecting;
  }

  /** @param {string} text @param {boolean} isNumber */
  #turn(text, isNumber) {
    const wasNumber = this.#count.dataset.number !== undefined;
    this.#count.textContent = text;
    this.#count.toggleAttribute("data-number", isNumber);
    if (!isNumber || !wasNumber || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    this.#count.animate?.([{ opacity: 0, transform: "translateY(35%)" }, {}], { duration: 180, easing: "ease-out" });
  }

  /** The faces beside the number. @param {Snapshot} snapshot */
  #pile({ count }) {
    const faces = count && this.#session ? this.#session.shown(this.max) : [];
    const more = Math.max(0, (count?.total ?? 0) - faces.length);
    this.#stack.draw(faces, faces.length && more ? `+${this.#write(more, COMPACT)}` : "", this.#words.nameless);
  }

  #draw() {
    if (!this.#session) return;
    const { snapshot } = this.#session;
    const { state, count, viewers } = snapshot;
    const words = this.#words;
    const areStreamed = this.#session.options.viewers && viewers && this.#session.isSure;
    if (!areStreamed) this.#fetch(this.#session);
    this.#tooltip.draw(count, count ? this.#session.shown(FACES) : [], {
      title: this.#title(snapshot),
      note: count && (state === "stale" || state === "offline") ? words[state] : "",
      self: this.#session.self?.viewer_id,
      pictures: this.showAvatars || this.max > 0,
      words,
      write: (n) => this.#write(n),
    });
  }

  /** @param {PresenceSession} session */
  async #fetch(session) {
    clearTimeout(this.#fetching);
    const version = `${session.options.courseId} ${session.snapshot.count?.version}`;
    if (version === this.#fetchedFor) return;
    const wait = this.#fetchedAt + REFETCH - Date.now();
    if (wait > 0) {
      this.#fetching = setTimeout(() => this.#tooltip.isOpen && this.#draw(), wait);
      return;
    }
    this.#fetchedAt = Date.now();
    this.#fetchedFor = version;
    await session.meet().catch(() => {}); // perhaps the names are not for us; the number is
  }
}
