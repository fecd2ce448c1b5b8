/** One viewer in one course, as this tab says it: one heartbeat, however many badges show it. */

import { isHidden, isHttps } from "./checks.js";
import { isCounted, randomId, setCounted, stored, visitorId } from "./memory.js";
import { HOLD, SETTLE, STUCK, backoff, spread } from "./wait.js";

export class Presence {
  /** @type {Set<import("./session.js").PresenceSession>} who takes part; the last one speaks */ sessions = new Set();
  /** The number is at least this: oneself, until the service counts us. */ floor = 1;
  isAnonymous = false;
  /** @type {string} of this tab */ #sessionId = "";
  #seq = 0;
  /** @type {string | undefined} */ #leaveToken;
  /** @type {Promise<void> | null} */ #beating = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #again = false;
  #failures = 0;
  #said = "";
  /** The page or the last session has gone. */ #isAway = false;
  /** When we began to say that we are here, */ #arrivedAt = 0;
  /** and whether no number has been heard since. */ #isUnheard = true;
  /** When our lease ends, roughly; 0 before the first answer. */ #until = 0;
  /** @type {string | undefined} who we are among the names, where ids are hidden */ #pseudonym;
  /** @type {string | undefined} who we were, until the service has heard that we are a visitor now */ #signedOut;
  /** What we said last is wrong, and will be the next time. */ #isHopeless = false;

  /** @param {import("./course.js").Course} course @param {string} slot the viewer's id, or "" where the page does not say it */
  constructor(course, slot) {
    this.course = course;
    this.slot = slot;
    /** @type {string | undefined} */ this.viewerId = this.#claim;
    this.join();
  }

  /**
   * Whoever we were has gone. Who has only signed out goes on as a visitor, in the same session, so that no number moves;
   * else they leave, and the session of whoever we are now tells nothing of theirs.
   * @param {boolean} isOut
   */
  turn(isOut) {
    if (this.#isAway) return;
    if (isOut && this.#leaveToken && !this.viewerId?.startsWith("anon~")) {
      this.#signedOut = this.viewerId;
      if (this.#beating) this.#again = true;
      else this.#beatIn(0);
      return;
    }
    this.#begin();
  }

  /** A session of another person. */
  #begin() {
    this.#signedOut = undefined;
    const total = this.course.view()?.total ?? 1;
    this.#leave(false);
    this.#leaveToken = undefined;
    this.join();
    this.viewerId = this.#claim;
    this.#isUnheard = false;
    this.floor = total; // one goes and one comes: that is no change, unless the service says so
    if (!this.#beating) this.#beatIn(HOLD); // as the stream does
  }

  /** The service has answered us. */
  get isCounted() { return this.#until > 0; }

  get key() { return ["live-viewer", this.course.hub.service.base, this.course.id, this.slot].join(" "); }

  /** Who we say that we are; nobody where a token says it. */
  get #claim() { return this.slot || (this.course.hub.service.getToken ? undefined : visitorId()); }

  /** Our own line among the names; null for nobody who may be named, or while nobody has counted us. */
  get face() {
    const [speaker] = [...this.sessions].slice(-1);
    const id = this.#pseudonym ?? this.viewerId;
    if (!id || !speaker || !this.#until || this.isAnonymous || this.viewerId?.startsWith("anon~")) return null;
    const { name, avatarUrl } = speaker.options;
    return { viewer_id: id, name, avatar_url: avatarUrl };
  }

  /** Named only now: our session goes on, unless the service believes any id and has us as another. @param {string} slot */
  becomes(slot) {
    const isSame = this.viewerId === slot || this.viewerId?.startsWith("anon~"); // made up by the service
    if (this.slot || !(this.#leaveToken ? isSame : this.course.hub.service.getToken)) return null;
    this.course.presences.delete(this.slot);
    this.slot = slot;
    return this;
  }

  /**
   * Begins a session, or takes up the one that this tab laid down when its page went away. Whoever takes it up removes
   * it, so that a duplicated tab finds nothing and begins its own.
   */
  join() {
    const [id, seq, total] = stored("sessionStorage", this.key) ?? [];
    stored("sessionStorage", this.key, null);
    this.#sessionId = id ?? randomId();
    this.#seq = seq ?? 0;
    this.floor = total ?? 1; // after a reload the number of before, rather than a lonely 1
    this.#isAway = false;
    this.#arrive();
    if (this.course.known && this.course.hub.state === "live") this.saw(this.course.known);
  }

  #arrive() {
    this.#arrivedAt = Date.now();
    this.#until = 0;
    this.#isUnheard = true;
  }

  /** Keeps oneself in the number, once, while the service may not have counted us. @param {import("./words.js").Count} count */
  saw(count) {
    if (this.#isUnheard) {
      this.#isUnheard = false;
      this.floor = this.#isMissingIn(count) ? count.total + 1 : 1;
    } else if (this.#until && (count.total >= this.floor || Date.now() > this.#arrivedAt + SETTLE)) {
      this.floor = 1;
    }
  }

  /** Sure only when nothing had changed for a while before we came, and no other tab or device of ours is there. */
  #isMissingIn(/** @type {import("./words.js").Count} */ count) {
    const quiet = count.as_of - count.version; // versions are times
    const isOlder = quiet > Date.now() - this.#arrivedAt + SETTLE;
    return isOlder && !isCounted(this.key) && !this.course.viewers?.some(({ viewer_id: id }) => id === (this.#pseudonym ?? this.viewerId));
  }

  /** @param {{total: number, viewer_id: string, pseudonym?: string, leave_token: string, next_heartbeat_ms: number}} reply */
  #counted(reply) {
    const isFirst = !this.#until;
    this.#pseudonym = reply.pseudonym ?? undefined;
    if (reply.viewer_id !== this.#signedOut) this.#signedOut = undefined;
    this.viewerId = reply.viewer_id;
    this.#leaveToken = reply.leave_token;
    this.#until = Date.now() + 2 * reply.next_heartbeat_ms;
    setCounted(this.key, this.#until);
    if (!isFirst && this.course.known) return;
    this.#isUnheard = false;
    this.#arrivedAt = Date.now();
    this.floor = reply.total; // a number published before us may still be under way: not below this for a moment
    setTimeout(() => this.#settle(), SETTLE);
    this.course.notify();
  }

  #settle() {
    if (this.#isAway || !this.#until || this.course.hub.state !== "live" || !this.course.known) return;
    this.floor = 1;
    this.course.notify();
  }

  #message() {
    const [speaker] = [...this.sessions].slice(-1);
    const { chapterId, avatarUrl, anonymous } = speaker.options;
    const name = String(speaker.options.name ?? "").replace(/\p{Surrogate}/gu, "\ufffd"); // half an emoji is no text
    this.isAnonymous = Boolean(anonymous || (!this.slot && this.#claim));
    return {
      viewer_id: this.#claim, // not what we were told last: the token may be another's by now
      session_id: this.#sessionId,
      chapter_id: chapterId || undefined,
      name: [...name].slice(0, 80).join("") || undefined, // too long a name must not cost the presence
      avatar_url: isHttps(avatarUrl) && String(avatarUrl).length <= 512 ? avatarUrl : undefined,
      anonymous: this.isAnonymous || undefined,
      hidden: isHidden(),
    };
  }

  /** A session came, or changed what it says: it speaks now. @param {import("./session.js").PresenceSession} session */
  speak(session) {
    this.sessions.delete(session);
    this.sessions.add(session);
    const { hidden, ...message } = this.#message();
    const said = JSON.stringify(message);
    if (said !== this.#said) this.#isHopeless = false;
    if (said !== this.#said && this.#beating) this.#again = true;
    else if (said !== this.#said) this.#beatIn(0);
    this.#said = said;
  }

  /** The last session to go takes the viewer out; an element that is only moved is back before that. */
  drop(/** @type {import("./session.js").PresenceSession} */ session) {
    this.sessions.delete(session);
    queueMicrotask(() => {
      if (this.sessions.size || this.course.presences.get(this.slot) !== this) return;
      this.course.presences.delete(this.slot);
      this.#leave(false);
      stored("sessionStorage", this.key, null);
      setCounted(this.key, Date.now() + SETTLE); // so long the number may still have us in it
      this.course.notify();
      this.course.hub.source.sync();
    });
  }

  /** The page goes away: perhaps for good, perhaps only to be loaded again. */
  suspend() {
    if (this.#isAway) return;
    this.#leave(true);
    stored("sessionStorage", this.key, [this.#sessionId, this.#seq, this.course.view()?.total]);
  }

  /** @param {boolean} soft */
  #leave(soft) {
    this.#isAway = true;
    clearTimeout(this.#timer);
    const names = { viewer_id: this.viewerId, session_id: this.#sessionId, leave_token: this.#leaveToken, anonymous: this.isAnonymous };
    if (this.#seq) this.#farewell(names, soft); // else the service has never heard of this session
  }

  /** @param {Record<string, any>} names @param {boolean} soft */
  #farewell({ viewer_id, session_id, leave_token, anonymous }, soft) {
    const body = { viewer_id, session_id, leave_token, anonymous, seq: ++this.#seq, soft };
    this.course.hub.service.farewell(`${this.course.path}/leave`, body);
  }

  /** Says anew who we are, unless a heartbeat that says so is under way. */
  beatSoon() {
    if (!this.#beating) this.#beatIn(0);
  }

  #beatIn(/** @type {number} */ delay) {
    clearTimeout(this.#timer);
    if (!this.#isAway) this.#timer = setTimeout(() => this.beat(), delay);
  }

  /** One heartbeat at a time; what is asked for meanwhile follows at once. @returns {Promise<void>} */
  async beat() {
    if (this.#isAway || !this.sessions.size || this.course.isImpossible || this.#isHopeless) return;
    if (this.#beating) this.#again = true;
    else this.#beating = this.#beat();
    await this.#beating;
  }

  async #beat() {
    clearTimeout(this.#timer);
    if (this.#until && this.#until < Date.now()) this.#arrive(); // the computer slept: nobody counts us any more
    let wait;
    /** @type {ReturnType<typeof setTimeout> | undefined} */ let stuck;
    const body = () => {
      clearTimeout(stuck);
      stuck = setTimeout(() => this.course.hub.source.rest(), spread(STUCK));
      return this.#statement();
    };
    try {
      const reply = await (await this.course.hub.service.request(`${this.course.path}/heartbeat`, { body })).json();
      const isOurs = reply.session_id === this.#sessionId && !(this.#isAway && !this.#leaveToken);
      wait = isOurs ? Math.max(100, reply.next_heartbeat_ms) : 0;
      this.#failures = 0;
      if (!isOurs) this.#farewell(reply, false); // theirs who have gone meanwhile, perhaps before they had a leave token
      else if (!this.#isAway) this.#counted(reply);
      this.course.hub.answered();
    } catch (error) {
      wait = this.#refused(/** @type {import("./error.js").PresenceError} */ (error));
    }
    clearTimeout(stuck);
    this.#beating = null;
    this.#beatIn(this.#again ? 0 : wait);
    this.#again = false;
  }

  #statement() {
    if (this.#isAway || !this.sessions.size) throw new Error("left"); // and nothing may follow that
    const former = this.#signedOut && { viewer_id: this.#signedOut, leave_token: this.#leaveToken };
    return { ...this.#message(), ...former, seq: ++this.#seq };
  }

  /** @param {import("./error.js").PresenceError} error @returns {number} when to try again: often enough for a lease */
  #refused(error) {
    if (this.#signedOut && (error.status === 401 || error.status === 422)) this.#begin(); // no visitors here
    const isRefusal = error.status >= 400 && error.status < 500 && error.status !== 429;
    const isNobody = !error.status || this.#failures > 2; // who answers 503 is there, and will count us
    if (isRefusal || (isNobody && !this.course.known)) this.floor = 0; // we are not let in, or claim what nobody said
    if (isRefusal) this.#isUnheard = false;
    this.#isHopeless = error.status === 422;
    // Perhaps it is the course that cannot be, which whoever listens to it is about to learn.
    if (this.#isHopeless) setTimeout(() => this.course.hub.explain(this.course, error), SETTLE);
    if (!this.#isAway) this.course.notify(error);
    return error.retryAfter || backoff(this.#failures++) / 2;
  }
}
