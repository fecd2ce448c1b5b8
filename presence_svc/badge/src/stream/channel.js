/** Messages between the pages of this browser and origin. Where BroadcastChannel is missing, none are sent or received. */

/** @typedef {{from: string, to?: string, kind: string, [name: string]: any}} Message */

export class Channel {
  /** @type {BroadcastChannel | null} */ #port = null;

  /** @param {string} name @param {(message: Message) => void} receive */
  constructor(name, receive) {
    try {
      this.#port = new BroadcastChannel(name);
      this.#port.onmessage = ({ data }) => receive(data);
    } catch {} // absent, or a frame without an origin
  }

  get isOpen() {
    return Boolean(this.#port);
  }

  /** @param {Message} message */
  send(message) {
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
