/** More viewers for the demo: real ones, each a PresenceSession of its own, who wander through the chapters. */

import { PresenceSession } from "../../live-viewer-badge.js";

const FIRST = "Ada Bruno Chidi Dalia Emre Freya Goran Hana Ivo Jun Kaya Lars Mina Nils Oona Priya Quinn Rosa Sami Tova Uma Vera Wren Yuki Zane".split(" ");
const LAST = "Abe Berg Costa Diaz Eriksen Faruk Gray Ito Jansen Kim Lopez Moreau Novak Osei Park Reyes Silva Tran Weiss".split(" ");
const MOST = 40;
const WANDER = 2_500;

/** @template T @param {T[]} list @returns {T} */
const any = (list) => list[Math.floor(Math.random() * list.length)];

export const someone = () => ({
  viewerId: `demo-${Math.random().toString(36).slice(2, 10)}`,
  name: `${any(FIRST)} ${any(LAST)}`,
});

export class Company {
  /** @type {PresenceSession[]} */ #sessions = [];
  /** @type {string[]} */ #chapters = [];

  constructor() {
    setInterval(() => this.#wander(), WANDER);
  }

  get size() {
    return this.#sessions.length;
  }

  get isFull() {
    return this.size >= MOST;
  }

  /** @param {number} number @param {import("./courses.js").Course} course */
  invite(number, course) {
    this.#chapters = course.chapters.map((_, index) => `ch-${index + 1}`);
    for (let i = 0; i < number && !this.isFull; i += 1) {
      const options = { ...someone(), courseId: course.id, chapterId: any(this.#chapters), anonymous: Math.random() < 0.15 };
      this.#sessions.push(new PresenceSession(options));
    }
  }

  #wander() {
    if (this.size && this.#chapters.length) any(this.#sessions).update({ chapterId: any(this.#chapters) });
  }

  sendHome() {
    for (const session of this.#sessions.splice(0)) session.leave();
  }
}
