/**
 * Where a page's news come from: its own streams, or those of another page of this browser that leads. A browser allows
 * an origin six connections over HTTP/1.1, all tabs and frames together; a stream for each would leave none to heartbeats.
 *
 * The leader says so every few seconds and everybody answers with what they want. It is the page that has been there for
 * longest; when it goes it names another, and when it falls silent one steps up. No lock is needed, which plain http
 * does not have, and a leader that hangs does not keep.
 */

import { merged } from "./ask.js";
import { Channel } from "./channel.js";
import { PresenceError } from "./error.js";
import { randomId } from "./memory.js";
import { Streams } from "./streams.js";

const WORD = 2_000; // from word to word of a leader
const DEAF = 3 * WORD; // whoever was not heard for so long has gone
const CANDIDACY = 60; // a leader answers faster, unless it is busy: then there are two for a moment

/** @typedef {import("./ask.js").Want} Want */
/** @typedef {import("./channel.js").Message} Message */
/** @typedef {import("./streams.js").Listener & {lost: (ids: string[]) => void}} Listener lost: the leader may not hear of these */

export class Source {
  /** @type {Channel | null} */ #channel = null;
  /** @type {"none" | "candidate" | "leader" | "follower"} */ #role = "none";
  #id = "";
  #name = "";
  /** @type {{id: string, heardAt: number, isLive: boolean} | null} */ #leader = null;
  /** @type {Map<string, {want: Want, heardAt: number}>} */ #followers = new Map();
  /** @type {Map<string, any>} the last word on each course */ #last = new Map();
  /** @type {Set<string>} what we may not hear and others want */ #closed = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** The channel that is not for us. */ #solo = "";

  /** @param {import("./service.js").Service} service @param {Listener} listener */
  constructor(service, listener) {
    this.service = service;
    this.listener = listener;
    this.streams = new Streams(service, {
      ...listener,
      want: () => this.#all(),
      hear: (event, news) => this.#pass(event, news),
      changed: (pause) => {
        this.#lead();
        listener.changed(pause);
      },
      refused: (refused) => this.#refused(refused),
    });
  }

  get isLive() {
    return this.#role === "leader" ? this.streams.isLive : Boolean(this.#leader?.isLive);
  }

  /** Something else is wanted. @param {number} [delay] */
  sync(delay) {
    if (this.#role === "follower") this.#want();
    else if (this.#role === "leader") this.streams.sync(delay);
  }

  /** @param {string} name of the channel: pages of other people do not share; empty to stay alone */
  resume(name) {
    if (this.#role !== "none" && name === this.#name) {
      if (this.#role === "leader") this.streams.resume();
      return;
    }
    this.pause();
    this.#name = name;
    this.#id = `${Date.now().toString(36)} ${randomId()}`; // the oldest is the least
    this.#channel = name && name !== this.#solo ? new Channel(name, (message) => this.#heard(message)) : null;
    if (!this.#channel?.isOpen) return this.#take();
    this.#stand();
  }

  pause() {
    clearTimeout(this.#timer);
    const [next] = [...this.#followers.keys()].slice(-1);
    this.#say("bye", this.#role === "leader" ? { next } : {});
    this.#channel?.close();
    this.#channel = this.#leader = null;
    this.#role = "none";
    this.#followers.clear();
    this.streams.pause();
  }

  /** A heartbeat waits for a connection. */
  rest() {
    if (this.#role === "follower") this.#say("rest");
    else this.streams.rest();
  }

  /** From now on by oneself: we may hear what the leader may not. */
  solo() {
    const name = (this.#solo = this.#name);
    this.pause();
    this.resume(name);
  }

  /** @param {string} kind @param {object} [more] */
  #say(kind, more) {
    this.#channel?.say({ from: this.#id, kind, ...more });
  }

  #want(kind = "want") {
    this.#say(kind, { want: this.listener.want() });
  }

  /** Asks whether anybody leads, and does so if nobody answers. */
  #stand(patience = CANDIDACY) {
    clearTimeout(this.#timer);
    this.#role = "candidate";
    this.#leader = null;
    this.#timer = setTimeout(() => this.#take(), patience);
    this.#want("hello");
  }

  #take() {
    clearTimeout(this.#timer);
    this.#role = "leader";
    this.#leader = null;
    this.#closed.clear();
    this.#lead();
    this.streams.resume();
  }

  #lead() {
    if (this.#role !== "leader" || !this.#channel) return;
    clearTimeout(this.#timer);
    this.#say("lead", { isLive: this.streams.isLive });
    const gone = [...this.#followers].filter(([, { heardAt }]) => Date.now() > heardAt + DEAF);
    for (const [id] of gone) this.#followers.delete(id);
    if (gone.length) this.streams.sync();
    if (this.#followers.size) this.#timer = setTimeout(() => this.#lead(), WORD);
  }

  #follow(/** @type {Message} */ { from, isLive }) {
    clearTimeout(this.#timer);
    const isNew = this.#role !== "follower" || this.#leader?.id !== from;
    const was = this.isLive;
    if (this.#role === "leader") this.streams.pause();
    if (isNew) this.#last.clear();
    this.#role = "follower";
    this.#followers.clear();
    this.#leader = { id: from, heardAt: Date.now(), isLive };
    this.#timer = setTimeout(() => this.#stand(CANDIDACY * (1 + Math.random())), DEAF);
    this.#want();
    if (isNew || was !== isLive) this.listener.changed(0);
  }

  #heard(/** @type {Message} */ message) {
    const { from, to, kind } = message;
    if (to && to !== this.#id) return;
    if (kind === "lead") {
      if (this.#role === "leader" && from > this.#id) this.#lead(); // two of us: the older one stays
      else this.#follow(message);
    } else if (this.#role === "leader") {
      this.#serve(message);
    } else if (kind === "hello" && this.#role === "candidate" && from < this.#id) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#take(), 3 * CANDIDACY);
    } else if (from === this.#leader?.id) {
      if (kind === "news") this.listener.hear(message.event, message.news);
      if (kind === "closed") this.listener.lost(message.ids);
      if (kind === "bye") {
        clearTimeout(this.#timer);
        if (message.next === this.#id) this.#take();
        else this.#timer = setTimeout(() => this.#stand(), CANDIDACY);
      }
    }
  }

  #serve(/** @type {Message} */ { from, kind, want }) {
    if (kind === "rest") return this.streams.rest();
    if (kind === "bye") {
      this.#followers.delete(from);
      return this.streams.sync();
    }
    if (!want) return;
    const before = JSON.stringify(this.#all());
    const known = this.#followers.get(from)?.want.courses;
    this.#followers.set(from, { want, heardAt: Date.now() });
    if (!known) this.#lead();
    const isOther = JSON.stringify(this.#all()) !== before;
    const fresh = Object.keys(want.courses).filter((id) => !(known && id in known));
    for (const id of fresh) for (const news of this.#last.get(id)?.values() ?? []) this.#say("news", { to: from, ...news });
    const closed = fresh.filter((id) => this.#closed.has(id));
    if (closed.length) this.#say("closed", { to: from, ids: closed });
    if (isOther) this.streams.sync();
  }

  /** What all of us want, without what we may not hear. */
  #all() {
    const want = merged([this.listener.want(), ...[...this.#followers.values()].map((follower) => follower.want)]);
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
      if (this.#followers.size) this.#say("news", { event, news });
    }
    this.listener.hear(event, news);
  }

  /** @param {Map<string, Error>} refused */
  #refused(refused) {
    for (const id of refused.keys()) this.#closed.add(id);
    this.#say("closed", { ids: [...refused.keys()] });
    this.listener.refused(refused);
    this.streams.sync();
  }

  /** Those that we may not hear, to be tried again with another token. */
  reopen() {
    this.#closed.clear();
  }

  /** Finds out who is refused when a stream was. @param {Map<string, Error>} refused */
  close(refused) {
    if (refused.size) this.#refused(refused);
  }
}
