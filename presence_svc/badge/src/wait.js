/** How long anything may take, in milliseconds. Every wait of the badge ends. */

export const ANSWER = 10_000; // a request without an answer has failed
export const FIRST = 8_000; // a stream that has not said a word by then is held back by something on its way
export const SILENCE = 40_000; // a stream without a byte is dead: the service speaks every 15 s
export const UNSEEN = 10_000; // a tab hidden so long gives its stream back: a browser allows six connections per origin
export const LOOK = 10_000; // a page that gives other functions all the time is asked for tokens no more often
export const HOLD = 1_500; // most lost streams are back by then, so nobody is bothered before
export const LOST = 30_000; // from then on the number is history
export const SETTLE = 1_000; // more than it takes the service to publish an arrival
export const PATIENCE = 3_000; // without a stream for so long, counts are asked for
export const POLL = 5_000; // and again so often
export const STUCK = 4_000; // a heartbeat that takes longer may be waiting for a connection that a stream has
export const REST = 2_000; // then streams end for so long, and for longer each time

/** Full jitter: a crowd that lost the same server must not come back in step. @param {number} failures */
export const backoff = (failures) => Math.random() * Math.min(LOST, 500 * 2 ** Math.min(failures, 9));

/** The same with other words: between this long and half as long again. @param {number} delay */
export const spread = (delay) => delay * (1 + Math.random() / 2);

/** AbortSignal.timeout, which Safari 15 does not have. @param {number} delay */
export function deadline(delay) {
  const control = new AbortController();
  setTimeout(() => control.abort(new Error("the presence service did not answer")), delay);
  return control.signal;
}

/**
 * Rejects when somebody else's promise (a token) does not settle in time.
 * @template T @param {T | Promise<T>} promise @returns {Promise<T>}
 */
export function bounded(promise) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(reject, ANSWER, new Error("getToken did not answer"));
    Promise.resolve(promise)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}
