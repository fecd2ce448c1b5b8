/** Says whether what is shown is live, and how old it is when not. */

import { at, write } from "../dom.js";
import { seconds } from "../format.js";

const FAILING = 3; // attempts in a row before the page says so

export class LinkState {
  #failures = 0;
  #heardAt = 0;

  heard() {
    this.#failures = 0;
    this.#heardAt = Date.now();
    this.#show();
  }

  missed() {
    this.#failures += 1;
    this.#show();
  }

  /** Nobody is signed in: there is nothing to be live. */
  rest() {
    this.#failures = this.#heardAt = 0;
    write(at("link"), "Signed out");
    at("link").dataset.state = "out";
  }

  #show() {
    const isLost = this.#failures >= FAILING || !navigator.onLine;
    const old = this.#heardAt ? `Connection lost: numbers are from ${seconds(this.#heardAt)}` : "No connection to the service";
    const state = isLost ? "lost" : this.#heardAt ? "live" : "connecting";
    at("link").dataset.state = state;
    write(at("link"), { lost: old, live: "Live", connecting: "Connecting…" }[state]);
    at("board").classList.toggle("is-lost", isLost);
  }
}
