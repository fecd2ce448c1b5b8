/** A word to the other pages of this browser and origin. Where that is not possible, nobody hears and nobody speaks. */

/** @typedef {{from: string, to?: string, kind: string, [name: string]: any}} Message */

export class Channel {
  /** @type {BroadcastChannel | null} */ #port = null;

  /** @param {string} name @param {(message: Message) => void} hear */
  constructor(name, hear) {
    try {
      this.#port = new BroadcastChannel(name);
      this.#port.onmessage = ({ data }) => hear(data);
    } catch {} // absent, or a frame without an origin
  }

  get isOpen() {
    return Boolean(this.#port);
  }

  /** @param {Message} message */
  say(message) {
    try {
      this.#port?.postMessage(message);
    } catch {}
  }

  /** Also so that the page may go into the back/forward cache. */
  close() {
    this.#port?.close();
    this.#port = null;
  }
}
