/** The public types: what the service reports about a course, and the options and state of a session. */

/**
 * @typedef {{course_id: string, total: number, named: number, anonymous: number, chapters: Record<string, number>,
 *   version: number, as_of: number, warming?: boolean}} Count How many watch a course, as the service says it.
 * @typedef {{viewer_id: string, name?: string | null, avatar_url?: string | null, joined_at?: number,
 *   expires_at?: number}} Viewer A viewer who may be named.
 * @typedef {"connecting" | "live" | "stale" | "offline"} State
 *   No number yet; true now; the stream is lost and being reopened; lost for so long that the number is history, or refused.
 * @typedef {(options?: {skipCache?: boolean}) => string | null | undefined | Promise<string | null | undefined>} GetToken
 *   Gives a bearer token, or nothing when nobody is signed in; `skipCache` says that the last one was refused. Clerk's
 *   `getToken` fits as it is.
 * @typedef {{state: State, count: Count | null, viewers: Viewer[] | null, error: Error | null, refusal: Error | null,
 *   isCounting: boolean}} Snapshot
 *   What is known now; `error` only in the one call that tells of it; `refusal`: why there is nothing for us; counting: the
 *   service has only begun, and a number would be too low.
 */

/**
 * @typedef {object} PresenceOptions
 * @property {string | number | bigint} courseId
 * @property {string | number | bigint} [chapterId]
 * @property {string | number | bigint} [viewerId] not needed with `getToken`; without both the viewer is anonymous, under a random id
 * @property {string} [name]
 * @property {string} [avatarUrl] https only
 * @property {boolean} [anonymous] be counted, but never named
 * @property {boolean} [observe] see the number without being counted
 * @property {number} [viewers] how many names to keep live (at most 20; none by default)
 * @property {boolean} [chapters] keep all of `count.chapters` up to date (it is so, unless false: then only `chapterId`)
 * @property {string} [baseUrl] where the service is, if not where this module came from
 * @property {GetToken | null} [getToken]
 */

export {};
