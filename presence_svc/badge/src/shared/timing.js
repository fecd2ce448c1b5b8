/** Timeouts and intervals in milliseconds, and helpers to wait: nothing in the badge waits without a limit. */

export const REQUEST_TIMEOUT = 10_000; // a request without an answer has failed
export const FIRST_BYTE_TIMEOUT = 8_000; // a stream without a byte by then is buffered by a proxy or scanner
export const COMMENT_OVERDUE = 17_000; // a stream silent for this long is doubted: the service sends a comment every 15 s,
export const COMMENT_DELAY = 2_000; // or as often as it was asked to, and this is longer than the network delays one
export const SILENCE_TIMEOUT = 40_000; // and is dead after this
export const TRUST_DELAY = 5_000; // a proxy that lets bytes pass so long after the first ones does not buffer the stream
export const DELIVERY_TIMEOUT = 4_000; // longer than the service and the network take to deliver a change
export const HIDDEN_DELAY = 10_000; // then a hidden tab closes its stream: browsers allow six connections per origin
export const TOKEN_INTERVAL = 10_000; // least time between token checks when a page sets new getToken functions all the time
export const STALE_DELAY = 1_500; // most lost streams are back by then, so nothing is shown before
export const OFFLINE_DELAY = 30_000; // without a stream for this long, the number is marked as out of date
export const PUBLISH_DELAY = 1_000; // longer than the service takes to publish a change
export const POLL_DELAY = 3_000; // without a stream for this long, counts are polled,
export const POLL_INTERVAL = 5_000; // and then at this interval
export const SLOW_HEARTBEAT = 4_000; // a heartbeat slower than this may be waiting for a connection that a stream occupies
export const RELEASE = 2_000; // for this long streams then release their connections, each time for longer

export const LONGEST_PAUSE = 60_000; // that a service or proxy can ask for
export const LONGEST_TIMER = 2 ** 31 - 1; // beyond it a timer fires at once

/** Milliseconds of a clock that nobody sets, unlike Date.now; 0 is long ago. */
export const now = () => 1e9 + performance.now();

/** Exponential backoff with full jitter: clients that lost the same server must not reconnect in step. @param {number} failures */
export const backoff = (failures) => Math.random() * Math.min(OFFLINE_DELAY, 500 * 2 ** Math.min(failures, 9));

/** Jitter: between `delay` and one and a half times that. @param {number} delay */
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
    const timer = setTimeout(reject, REQUEST_TIMEOUT, new Error("getToken did not answer"));
    Promise.resolve(promise)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}
