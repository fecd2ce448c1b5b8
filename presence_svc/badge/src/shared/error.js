/** The error of requests to the service. */

/** An answer that is not a success. */
export class PresenceError extends Error {
  /** @param {string} message @param {number} status @param {number} retryAfter milliseconds, 0 if the service named none */
  constructor(message, status, retryAfter) {
    super(message);
    this.name = "PresenceError";
    this.status = status;
    this.retryAfter = retryAfter;
  }
}
