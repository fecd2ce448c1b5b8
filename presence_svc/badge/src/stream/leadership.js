/**
 * Where a page's counts and names come from: its own streams, or those of the leader among this browser's pages. Browsers
 * allow six connections per origin over HTTP/1.1, all tabs and frames together; with a stream each, heartbeats had none.
 *
 * The leader announces itself every few seconds, and the others answer with what they want. The oldest page leads; on
 * leaving it names a successor, and when it falls silent another page takes over. Web Locks would not do: plain http has
 * none, and a leader that hangs would keep its lock.
 */

import { PresenceError } from "../shared/error.js";
import { randomId } from "../shared/memory.js";
import { now } from "../shared/timing.js";
import { Channel } from "./channel.js";
import { merged } from "./query.js";
import { Streams } from "./streams.js";

const LEAD_INTERVAL = 2_000; // between announcements of the leader
const PEER_TIMEOUT = 3 * LEAD_INTERVAL; // a page that was silent for this long is gone
const ELECTION_TIMEOUT = 60; // a leader answers sooner; if it is too busy there are two for a moment

/** @typedef {import("./query.js").Want} Want */
/** @typedef {import("./channel.js").Message} Message */
/** @typedef {import("./streams.js").Listener & {lost: (ids: string[]) => void}} Listener lost: courses that the leader may not see */

export class Leadership {
  /** @type {Channel | null} */ #channel = null;
  /** @type {"none" | "candidate" | "leader" | "follower"} */ #role = "none";
  #id = "";
  #name = "";
  /** @type {{id: string, heardAt: number, isLive: boolean} | null} */ #leader = null;
  /** @type {Map<string, {want: Want, heardAt: number}>} */ #followers = new Map();
  /** @type {Map<string, any>} the latest frames of each course */ #last = new Map();
  /** @type {Set<string>} courses that we may not see and others want */ #closed = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {Set<string>} courses whose names we may not see */ #nameless = new Set();
  /** The channel that this page has left. */ #abandoned = "";

  /** @param {import("../service/service.js").Service} service @param {Listener} listener */
  constructor(service, listener) {
    this.service = service;
    this.listener = listener;
    this.streams = new Streams(service, {
      ...listener,
      want: () => this.#all(),
      receive: (event, news) => this.#pass(event, news),
      changed: (pause) => {
        this.#announce();
        listener.changed(pause);
      },
      refused: (refused) => this.#refused(refused),
    });
  }

  get isLive() {
    return this.#role === "leader" ? this.streams.isLive : Boolean(this.#leader?.isLive);
  }

  /** What this page wants has changed. @param {number} [delay] */
  sync(delay) {
    if (this.#role === "follower") this.#want();
    else if (this.#role === "leader") this.streams.sync(delay);
  }

  /** @param {string} name of the channel: pages of different users do not share one; empty to stay alone */
  resume(name) {
    if (this.#role !== "none" && name === this.#name) {
      if (this.#role === "leader") this.streams.resume();
      return;
    }
    this.pause();
    this.#name = name;
    this.#id = `${Date.now().toString(36)} ${randomId()}`; // the oldest page has the least id
    this.#channel = name && name !== this.#abandoned ? new Channel(name, (message) => this.#receive(message)) : null;
    if (!this.#channel?.isOpen) return this.#becomeLeader();
    this.#startElection();
  }

  pause() {
    clearTimeout(this.#timer);
    const [next] = [...this.#followers.keys()].slice(-1);
    this.#send("bye", this.#role === "leader" ? { next } : {});
    this.#channel?.close();
    this.#channel = this.#leader = null;
    this.#role = "none";
    this.#followers.clear();
    this.streams.pause();
  }

  /** A heartbeat is waiting for a connection. */
  release() {
    if (this.#role === "follower") this.#send("rest");
    else this.streams.release();
  }

  /** Leaves the channel for streams of its own: we may see what the leader may not. */
  detach() {
    const name = (this.#abandoned = this.#name);
    this.pause();
    this.resume(name);
  }

  /** @param {string} kind @param {object} [more] */
  #send(kind, more) {
    this.#channel?.send({ from: this.#id, kind, ...more });
  }

  #want(kind = "want") {
    this.#send(kind, { want: this.listener.want() });
  }

  /** Asks whether there is a leader, and becomes it if none answers. */
  #startElection(timeout = ELECTION_TIMEOUT) {
    clearTimeout(this.#timer);
    this.#role = "candidate";
    this.#leader = null;
    this.#timer = setTimeout(() => this.#becomeLeader(), timeout);
    this.#want("hello");
  }

  #becomeLeader() {
    clearTimeout(this.#timer);
    this.#role = "leader";
    this.#leader = null;
    this.#closed.clear();
    this.#announce();
    this.streams.resume();
  }

  #announce() {
    if (this.#role !== "leader" || !this.#channel) return;
    clearTimeout(this.#timer);
    this.#send("lead", { isLive: this.streams.isLive });
    const gone = [...this.#followers].filter(([, { heardAt }]) => now() > heardAt + PEER_TIMEOUT);
    for (const [id] of gone) this.#followers.delete(id);
    if (gone.length) this.streams.sync();
    if (this.#followers.size) this.#timer = setTimeout(() => this.#announce(), LEAD_INTERVAL);
  }

  #follow(/** @type {Message} */ { from, isLive }) {
    clearTimeout(this.#timer);
    const isNew = this.#role !== "follower" || this.#leader?.id !== from;
    const was = this.isLive;
    if (this.#role === "leader") this.streams.pause();
    if (isNew) this.#last.clear();
    this.#role = "follower";
    this.#followers.clear();
    this.#leader = { id: from, heardAt: now(), isLive };
    this.#timer = setTimeout(() => this.#startElection(ELECTION_TIMEOUT * (1 + Math.random())), PEER_TIMEOUT);
    this.#want();
    if (isNew || was !== isLive) this.listener.changed(0);
  }

  #receive(/** @type {Message} */ message) {
    const { from, to, kind } = message;
    if (to && to !== this.#id) return;
    if (kind === "lead") {
      if (this.#role === "leader" && from > this.#id) this.#announce(); // two leaders: the older one stays
      else this.#follow(message);
    } else if (this.#role === "leader") {
      this.#serve(message);
    } else if (kind === "hello" && this.#role === "candidate" && from < this.#id) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#becomeLeader(), 3 * ELECTION_TIMEOUT);
    } else if (from === this.#leader?.id) {
      if (kind === "news") this.listener.receive(message.event, message.news);
      if (kind === "closed") this.listener.lost(message.ids);
      if (kind === "bye") {
        clearTimeout(this.#timer);
        if (message.next === this.#id) this.#becomeLeader();
        else this.#timer = setTimeout(() => this.#startElection(), ELECTION_TIMEOUT);
      }
    }
  }

  #serve(/** @type {Message} */ { from, kind, want }) {
    if (kind === "rest") return this.streams.release();
    if (kind === "bye") {
      this.#followers.delete(from);
      return this.streams.sync();
    }
    if (!want) return;
    const before = JSON.stringify(this.#all());
    const known = this.#followers.get(from)?.want.courses;
    this.#followers.set(from, { want: merged([want]), heardAt: now() });
    if (!known) this.#announce();
    const isOther = JSON.stringify(this.#all()) !== before;
    const fresh = Object.keys(want.courses).filter((id) => !(known && id in known));
    for (const id of fresh) for (const news of this.#last.get(id)?.values() ?? []) this.#send("news", { to: from, ...news });
    const closed = fresh.filter((id) => this.#closed.has(id));
    if (closed.length) this.#send("closed", { to: from, ids: closed });
    if (isOther) this.streams.sync();
  }

  /** What all pages want, without the courses that we may not see. */
  #all() {
    const want = merged([this.listener.want(), ...[...this.#followers.values()].map((follower) => follower.want)]);
    for (const id of this.#nameless) if (id in want.courses) want.courses[id] = 0;
    for (const id of this.#closed) delete want.courses[id];
    for (const id of this.#last.keys()) if (!(id in want.courses)) this.#last.delete(id);
    return want;
  }

  /** @param {string} event @param {any} news */
  #pass(event, news) {
    const id = news.course_id;
    if (event === "refused" && news.what === "count") {
      return this.#refused(new Map([[id, new PresenceError(news.detail ?? news.title, news.status, 0)]]));
    }
    if (this.#channel && id) {
      if (!this.#last.has(id)) this.#last.set(id, new Map());
      this.#last.get(id).set(event, { event, news });
      if (this.#followers.size) this.#send("news", { event, news });
    }
    this.listener.receive(event, news);
  }

  /** @param {Map<string, Error>} refused */
  #refused(refused) {
    for (const id of refused.keys()) this.#closed.add(id);
    this.#send("closed", { ids: [...refused.keys()] });
    this.listener.refused(refused);
    this.streams.sync();
  }

  /** Refused courses are tried again, with another token. */
  reopen() {
    this.#closed.clear();
    this.#nameless.clear();
  }

  /** Asks for the numbers of these courses alone, whichever page wants their names. @param {string[]} ids */
  withoutNames(ids) {
    for (const id of ids) this.#nameless.add(id);
  }

  /** Stops asking for these courses. @param {Map<string, Error>} refused */
  close(refused) {
    if (refused.size) this.#refused(refused);
  }
}
