/** Errors: those of requests to the service, and those that are not ours. */

export const NO_SERVICE = "what answers is no presence service";

/** Reports an error of the page's own code to the page, where it can disturb nobody else. @param {unknown} error */
export const rethrow = (error) => void setTimeout(() => {
  throw error;
});

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
