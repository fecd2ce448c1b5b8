/** What the demo lacks where viewers need a token: said in words, with a place to give one. It stays in this page's memory. */

import { read } from "./api.js";
import { at } from "./dom.js";

const MAKE = "“presence-svc token” makes one for a try.";

export class Missing {
  #token = "";
  isShown = false;

  /** @param {{onToken: () => void}} handlers */
  constructor({ onToken }) {
    at("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#token = /** @type {HTMLInputElement} */ (at("token")).value.trim();
      if (!this.#token) return;
      this.#hide();
      onToken();
    });
  }

  /** How the service is set up. `isOpen`: whether we may be counted; `canSee`: whether there are numbers for us. */
  async find() {
    const token = this.#token;
    const about = await read("").catch(() => null); // what is older says nothing: then its refusal will
    const isOpen = Boolean(token) || (about?.anonymous_viewers ?? true);
    const canSee = isOpen || (about?.counts_without_token ?? true);
    if (!isOpen) this.#show("You are not counted here", canSee);
    return { token, isOpen, canSee };
  }

  /** @param {any} error of the badge @returns {boolean} whether it is one that a token would mend */
  onError(error) {
    if (![401, 403].includes(error?.status)) return false;
    this.#show(this.#token ? "That token was not accepted" : "You are not counted here", false);
    return true;
  }

  /** @param {string} title @param {boolean} canSee */
  #show(title, canSee) {
    this.isShown = !canSee;
    const why = "This service identifies viewers by their tokens (PRESENCE_AUTH=jwt), and the demo has none.";
    const seen = canSee ? "The numbers are those of viewers who have one." : "So there are no numbers to show.";
    at("missing-title").textContent = title;
    at("missing-why").textContent = this.#token ? `It may have expired, or open other courses. ${MAKE}` : `${why} ${seen} ${MAKE}`;
    at("missing").hidden = false;
  }

  #hide() {
    this.isShown = false;
    at("missing").hidden = true;
  }
}
