/** The texts of a badge: English ones, and those that the page has set instead. */

/**
 * @typedef {object} Labels The texts of a badge. `text` is the number as the page's language writes it.
 * @property {(n: number, text: string) => string} watching
 * @property {(n: number, text: string) => string} watched while offline
 * @property {(n: number, text: string) => string} anonymous
 * @property {(n: number, text: string) => string} more
 * @property {(name: string) => string} you
 * @property {string} nameless for a viewer who has no name
 * @property {string} connecting
 * @property {string} counting instead of a number, while the service has only started
 * @property {string} unavailable instead of a number that the service refuses
 * @property {string} stale
 * @property {string} offline
 */

/** @type {Labels} */
export const english = {
  watching: (n, text) => (n === 1 ? "1 person is watching now" : `${text} people are watching now`),
  watched: (n, text) => (n === 1 ? "1 person was watching" : `${text} people were watching`),
  anonymous: (n, text) => (n === 1 ? "1 anonymous viewer" : `${text} anonymous viewers`),
  more: (_n, text) => `+${text} more`,
  you: (name) => `${name} (you)`,
  nameless: "Guest",
  connecting: "Connecting to the live viewer count",
  counting: "counting",
  unavailable: "not available",
  stale: "Reconnecting…",
  offline: "Offline: this is the last known number",
};

/** Assign your own texts or functions to change what badges say in every language. @type {Labels} */
export const labels = { ...english };
