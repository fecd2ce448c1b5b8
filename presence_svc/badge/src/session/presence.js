/** One viewer in one course, as this tab reports it: one series of heartbeats, however many badges show it. */

import { isHidden, isHttps } from "../shared/checks.js";
import { NO_SERVICE } from "../shared/error.js";
import { isCounted, randomId, setCounted, stored, takeSession, visitorId } from "../shared/memory.js";
import { LONGEST_TIMER, PUBLISH_DELAY, SLOW_HEARTBEAT, STALE_DELAY, backoff, now, spread } from "../shared/timing.js";

export class Presence {
  /** @type {Set<import("./session.js").PresenceSession>} those that share it; the newest one's options are sent */ sessions = new Set();
  /** The number shown is at least this: the viewer's own self, until the service counts it. */ floor = 1;
  isAnonymous = false;
  /** @type {string} of this tab */ #sessionId = "";
  #seq = 0;
  /** @type {string | undefined} */ #leaveToken;
  /** @type {Promise<void> | null} */ #beating = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #again = false;
  #failures = 0;
  #lastMessage = "";
  /** The page or its last session is gone. */ #isAway = false;
  /** When heartbeats began, */ #arrivedAt = 0;
  /** and whether no count has arrived since. */ #isUnheard = true;
  /** Roughly when our lease ends; 0 before the first reply. */ #until = 0;
  /** The end of our lease by the service's clock, less the time of the reply by ours. */ #lease = Infinity;
  /** @type {string | undefined} our id in the roster, where the service hides real ids */ #pseudonym;
  /** @type {string | undefined} the signed-in id, until the service knows that we are a visitor now */ #signedOut;
  /** The service refused the last message as invalid: repeating it is pointless. */ #isHopeless = false;

  /** @param {import("./course.js").Course} course @param {string} slot the viewer's id, or "" where the page does not say it */
  constructor(course, slot) {
    this.course = course;
    this.slot = slot;
    /** @type {string | undefined} */ this.viewerId = this.#claim;
    this.join();
  }

  /**
   * The user of this page is another one now. After a sign-out the session goes on as an anonymous visitor's, so that no
   * number changes. Otherwise the former user leaves, and the new one gets a session that cannot be linked to theirs.
   * @param {boolean} isOut
   */
  switchUser(isOut) {
    if (this.#isAway) return;
    if (isOut && this.#leaveToken && !this.viewerId?.startsWith("anon~")) {
      this.#signedOut = this.viewerId;
      if (this.#beating) this.#again = true;
      else this.#beatIn(0);
      return;
    }
    this.#begin();
  }

  /** Starts the session of a new user. */
  #begin() {
    this.#signedOut = undefined;
    const total = this.course.view()?.total ?? 1;
    this.#leave(false);
    this.#leaveToken = undefined;
    this.join();
    this.viewerId = this.#claim;
    this.#isUnheard = false;
    this.floor = total; // one leaves and one joins: no change, unless the service reports one
    if (!this.#beating) this.#beatIn(STALE_DELAY); // as the stream does
  }

  /** The service has answered a heartbeat. */
  get isCounted() { return this.#until > 0; }

  get key() { return ["live-viewer", this.course.hub.service.base, this.course.id, this.slot].join(" "); }

  /** The viewer id to send; none where a token carries it. */
  get #claim() { return this.slot || (this.course.hub.service.getToken ? undefined : visitorId()); }

  /** Our own entry in the roster; null if we may not be named, or are not counted yet. */
  get self() {
    const [newest] = [...this.sessions].slice(-1);
    const id = this.#pseudonym ?? this.viewerId;
    if (!id || !newest || !this.#until || this.isAnonymous || this.viewerId?.startsWith("anon~")) return null;
    const { name, avatarUrl } = newest.options;
    return { viewer_id: id, name, avatar_url: avatarUrl };
  }

  /** The page names the viewer only now: the session goes on, unless the service knows it under another id. @param {string} slot */
  becomes(slot) {
    const isSame = this.viewerId === slot || this.viewerId?.startsWith("anon~"); // made up by the service
    if (this.slot || !(this.#leaveToken ? isSame : this.course.hub.service.getToken)) return null;
    this.course.presences.delete(this.slot);
    this.slot = slot;
    return this;
  }

  /**
   * Begins a session, or resumes the one that this tab stored when its page was unloaded. Resuming removes it from the
   * storage, so that a duplicated tab finds nothing and begins its own.
   */
  join() {
    [this.#sessionId, this.#seq, this.floor] = takeSession(this.key); // after a reload the number from before it, rather than 1
    this.#isAway = false;
    this.#arrive();
    if (this.course.known && this.course.hub.state === "live") this.reconcile(this.course.known);
  }

  #arrive() {
    this.#arrivedAt = now();
    this.#until = 0;
    this.#isUnheard = true;
  }

  /** Keeps us in the number while the service may not have counted us yet. @param {import("../shared/types.js").Count} count */
  reconcile(count) {
    if (this.#isUnheard) {
      this.#isUnheard = false;
      this.floor = this.#isMissingIn(count) ? count.total + 1 : 1;
    } else if (this.#until && (count.total >= this.floor || now() > this.#arrivedAt + PUBLISH_DELAY)) {
      this.floor = 1;
    }
  }

  /** Certain only if the count is older than our arrival, and no other tab or device of ours is in it. */
  #isMissingIn(/** @type {import("../shared/types.js").Count} */ count) {
    const quiet = count.as_of - count.version; // versions are times
    const isOlder = quiet > now() - this.#arrivedAt + PUBLISH_DELAY;
    return isOlder && !isCounted(this.key) && !this.course.viewers?.some(({ viewer_id: id }) => id === (this.#pseudonym ?? this.viewerId));
  }

  /** @param {{total: number, expires_at: number, viewer_id: string, pseudonym?: string, leave_token: string, next_heartbeat_ms: number}} reply */
  #counted(reply) {
    const isFirst = !this.#until;
    this.#pseudonym = reply.pseudonym ?? undefined;
    if (reply.total !== this.course.newest?.total) this.course.hub.source.streams.doubt();
    if (reply.viewer_id !== this.#signedOut) this.#signedOut = undefined;
    this.viewerId = reply.viewer_id;
    this.#leaveToken = reply.leave_token;
    this.#lease = reply.expires_at - now();
    if (this.#isRemoved) return this.#remove();
    this.#until = Date.now() + 2 * reply.next_heartbeat_ms;
    setCounted(this.key, this.#until);
    if (!isFirst && this.course.known) return;
    this.#isUnheard = false;
    this.#arrivedAt = now();
    this.floor = reply.total; // a count published before we joined may still be under way: show no less than this for a moment
    setTimeout(() => this.#settle(), PUBLISH_DELAY);
    this.course.notify();
  }

  /** The lease has no time: somebody has removed us. Heartbeats go on, and count again when the ban is over. */
  get #isRemoved() { return this.#lease < this.course.ahead + PUBLISH_DELAY / 2; }

  #remove() {
    this.#sessionId = randomId(); // the old one has ended for good
    this.#seq = this.#until = this.floor = 0;
    this.#isUnheard = false;
    setCounted(this.key, 0);
    this.course.notify();
  }

  #settle() {
    if (this.#isRemoved) this.#remove(); // the first count came after the reply
    if (this.#isAway || !this.#until || this.course.hub.state !== "live" || !this.course.known) return;
    this.floor = 1;
    this.course.notify();
  }

  #message() {
    const [newest] = [...this.sessions].slice(-1);
    const { chapterId, avatarUrl, anonymous } = newest.options;
    const name = String(newest.options.name ?? "").replace(/\p{Surrogate}/gu, "\ufffd"); // half a surrogate pair is not valid text
    this.isAnonymous = Boolean(anonymous || (!this.slot && this.#claim));
    return {
      viewer_id: this.#claim, // not the id of the last reply: the token may be another user's by now
      session_id: this.#sessionId,
      chapter_id: chapterId || undefined,
      name: [...name].slice(0, 80).join("") || undefined, // too long a name must not cost the presence
      avatar_url: isHttps(avatarUrl) && String(avatarUrl).length <= 512 ? avatarUrl : undefined,
      anonymous: this.isAnonymous || undefined,
      hidden: isHidden(),
    };
  }

  /** A session joined or changed its options, which are sent from now on. @param {import("./session.js").PresenceSession} session */
  update(session) {
    this.sessions.delete(session);
    this.sessions.add(session);
    const { hidden, ...message } = this.#message();
    const text = JSON.stringify(message);
    if (text !== this.#lastMessage) this.#isHopeless = false;
    if (text !== this.#lastMessage && this.#beating) this.#again = true;
    else if (text !== this.#lastMessage) this.#beatIn(0);
    this.#lastMessage = text;
  }

  /** When the last session goes, the viewer leaves; an element that is only moved is back before that. */
  drop(/** @type {import("./session.js").PresenceSession} */ session) {
    this.sessions.delete(session);
    queueMicrotask(() => {
      if (this.sessions.size || this.course.presences.get(this.slot) !== this) return;
      this.course.presences.delete(this.slot);
      this.#leave(false);
      this.#keep(false);
      setCounted(this.key, Date.now() + PUBLISH_DELAY); // for this long counts may still include us
      this.course.notify();
      this.course.hub.source.sync();
    });
  }

  /** The page is unloaded, perhaps only to be loaded again. */
  suspend() {
    if (this.#isAway) return;
    this.#leave(true);
    this.#keep(true);
  }

  /** For the page that comes after this one: a reload, or one that the browser has thrown away. @param {boolean} isKept */
  #keep(isKept) {
    stored("sessionStorage", this.key, isKept ? [this.#sessionId, this.#seq, this.course.view()?.total] : null);
  }

  /** @param {boolean} soft */
  #leave(soft) {
    this.#isAway = true;
    clearTimeout(this.#timer);
    const names = { viewer_id: this.viewerId, session_id: this.#sessionId, leave_token: this.#leaveToken, anonymous: this.isAnonymous };
    if (this.#seq) this.#sendLeave(names, soft); // else the service has never heard of this session
  }

  /** @param {Record<string, any>} names @param {boolean} soft */
  #sendLeave({ viewer_id, session_id, leave_token, anonymous }, soft) {
    const body = { viewer_id, session_id, leave_token, anonymous, seq: ++this.#seq, soft };
    this.course.hub.service.sendLeave(`${this.course.path}/leave`, body);
  }

  /** Sends a heartbeat, unless one is under way. */
  beatSoon() {
    if (!this.#beating) this.#beatIn(0);
  }

  #beatIn(/** @type {number} */ delay) {
    clearTimeout(this.#timer);
    if (!this.#isAway) this.#timer = setTimeout(() => this.beat(), delay);
  }

  /** One heartbeat at a time; one requested meanwhile follows at once. @returns {Promise<void>} */
  async beat() {
    if (this.#isAway || !this.sessions.size || this.course.isImpossible || this.#isHopeless) return;
    if (this.#beating) this.#again = true;
    else this.#beating = this.#beat();
    await this.#beating;
  }

  async #beat() {
    clearTimeout(this.#timer);
    if (this.#until && this.#until < Date.now()) this.#arrive(); // the computer slept: the lease has lapsed
    let wait;
    /** @type {ReturnType<typeof setTimeout> | undefined} */ let stuck;
    const body = () => {
      clearTimeout(stuck);
      stuck = setTimeout(() => this.course.hub.source.release(), spread(SLOW_HEARTBEAT));
      return this.#body();
    };
    try {
      const reply = await (await this.course.hub.service.request(`${this.course.path}/heartbeat`, { body })).json();
      if (!reply?.session_id || !(reply.next_heartbeat_ms > 0)) throw new Error(NO_SERVICE); // a blocker's or portal's answer
      const isOurs = reply.session_id === this.#sessionId && !(this.#isAway && !this.#leaveToken);
      wait = isOurs ? Math.min(LONGEST_TIMER, Math.max(100, reply.next_heartbeat_ms)) : 0;
      this.#failures = 0;
      if (!isOurs) this.#sendLeave(reply, false); // of a session that ended meanwhile, perhaps before it had a leave token
      else if (!this.#isAway) this.#counted(reply);
      this.course.hub.answered(this.course);
    } catch (error) {
      wait = this.#refused(/** @type {import("../shared/error.js").PresenceError} */ (error));
    }
    clearTimeout(stuck);
    this.#beating = null;
    this.#beatIn(this.#again ? 0 : wait);
    this.#again = false;
  }

  #body() {
    if (this.#isAway || !this.sessions.size) throw new Error("left"); // no heartbeat may follow a leave
    const former = this.#signedOut && { viewer_id: this.#signedOut, leave_token: this.#leaveToken };
    this.#seq += 1;
    this.#keep(isHidden()); // such a page may end without a word
    return { ...this.#message(), ...former, seq: this.#seq };
  }

  /** @param {import("../shared/error.js").PresenceError} error @returns {number} ms until the next try, short enough to keep the lease */
  #refused(error) {
    if (this.#signedOut && (error.status === 401 || error.status === 422)) this.#begin(); // the service takes no anonymous visitors
    const isRefusal = error.status >= 400 && error.status < 500 && error.status !== 429;
    const isNobody = !error.status || this.#failures > 2; // a service that answers 503 is there and will count us later
    const isBlocked = isNobody && !this.#until && this.#failures > 1; // other requests may pass
    if (isRefusal || isBlocked) this.#isUnheard = false;
    if (isRefusal || isBlocked || (isNobody && !this.course.known)) this.floor = 0; // not let in, or the number would be nobody's
    this.#isHopeless = error.status === 422;
    // Perhaps the course id is the invalid part; the stream is about to find out.
    if (this.#isHopeless) setTimeout(() => this.course.hub.explain(this.course, error), PUBLISH_DELAY);
    if (!this.#isAway) this.course.notify(error);
    return error.retryAfter || backoff(this.#failures++) / 2;
  }
}
