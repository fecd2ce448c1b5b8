/** The words between the service and the page: what is said of a course, and what a badge says to people. */

/**
 * @typedef {{course_id: string, total: number, named: number, anonymous: number, chapters: Record<string, number>,
 *   version: number, as_of: number, warming?: boolean}} Count How many watch a course, as the service says it.
 * @typedef {{viewer_id: string, name?: string | null, avatar_url?: string | null}} Viewer A viewer who may be named.
 * @typedef {"connecting" | "live" | "stale" | "offline"} State
 *   No number yet; true now; the stream is lost and being reopened; lost for so long that the number is history, or refused.
 * @typedef {(options?: {skipCache?: boolean}) => string | null | undefined | Promise<string | null | undefined>} GetToken
 *   Gives a bearer token, or nothing when nobody is signed in; `skipCache` says that the last one was refused. Clerk's
 *   `getToken` fits as it is.
 * @typedef {{state: State, count: Count | null, viewers: Viewer[] | null, error: Error | null}} Snapshot
 *   What is known now; `error` only in the one call that tells of it.
 */

/**
 * @typedef {object} PresenceOptions
 * @property {string} courseId
 * @property {string} [chapterId]
 * @property {string} [viewerId] not needed with `getToken`; without both the viewer is anonymous, under a random id
 * @property {string} [name]
 * @property {string} [avatarUrl] https only
 * @property {boolean} [anonymous] be counted, but never named
 * @property {boolean} [observe] see the number without being counted
 * @property {number} [viewers] how many names to keep live (at most 20; none by default)
 * @property {string} [baseUrl] where the service is, if not where this module came from
 * @property {GetToken | null} [getToken]
 */

/** What badges say; assign your own functions to translate. `text` is the number as the page's language writes it. */
export const labels = {
  /** @param {number} n @param {string} text */
  watching: (n, text) => (n === 1 ? "1 person is watching now" : `${text} people are watching now`),
  /** Offline. @param {number} n @param {string} text */
  watched: (n, text) => (n === 1 ? "1 person was watching" : `${text} people were watching`),
  /** @param {number} n @param {string} text */
  anonymous: (n, text) => (n === 1 ? "1 anonymous viewer" : `${text} anonymous viewers`),
  /** @param {number} _n @param {string} text */
  more: (_n, text) => `+${text} more`,
  /** @param {string} name */
  you: (name) => `${name} (you)`,
  nameless: "Guest",
  connecting: "Connecting to the live viewer count",
  stale: "Reconnecting…",
  offline: "Offline: this is the last known number",
};
