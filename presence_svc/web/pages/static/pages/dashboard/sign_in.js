/** Signing in and out: with an API key of the service, a creator's key, or a token. Which one it is the service finds out. */

import { key, setKey } from "../api.js";
import { at } from "../dom.js";

export class SignIn {
  /** @param {{onIn: () => void, onOut: () => void}} handlers */
  constructor({ onIn, onOut }) {
    const dialog = /** @type {HTMLDialogElement} */ (at("ask"));
    at("ask-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const input = /** @type {HTMLInputElement} */ (at("key"));
      const given = input.value.trim().replace(/^bearer\s+/i, "");
      input.value = "";
      dialog.close();
      if (!given) return;
      setKey(given);
      this.#show(true);
      onIn();
    });
    at("not-now").addEventListener("click", () => dialog.close());
    for (const id of ["sign-in", "sign-in-again"]) at(id).addEventListener("click", () => this.open());
    at("sign-out").addEventListener("click", () => {
      setKey("");
      onOut();
      this.ask("");
    });
    this.#show(true);
    at("sign-in").hidden = true; // until the service asks for it
  }

  /** Nothing can be shown: says why, and asks. @param {string} refusal why what was given does not do; "" when nothing was */
  ask(refusal) {
    this.#show(false);
    at("refused").textContent = refusal;
    at("refused").hidden = !refusal;
    this.open();
  }

  open() {
    const dialog = /** @type {HTMLDialogElement} */ (at("ask"));
    if (!dialog.open) dialog.showModal();
  }

  /** @param {boolean} isIn */
  #show(isIn) {
    at("board").hidden = !isIn;
    at("signed-out").hidden = isIn;
    at("sign-in").hidden = isIn;
    at("sign-out").hidden = !key();
  }
}
