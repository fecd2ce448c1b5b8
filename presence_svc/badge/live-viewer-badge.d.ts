/** Types of live-viewer-badge.js; generated. */

/** The public types: what the service reports about a course, and the options and state of a session. */
export type Count = {
    course_id: string;
    total: number;
    named: number;
    anonymous: number;
    chapters: Record<string, number>;
    version: number;
    as_of: number;
    warming?: boolean;
};
export type Viewer = {
    viewer_id: string;
    name?: string | null;
    avatar_url?: string | null;
    joined_at?: number;
    expires_at?: number;
};
export type State = "connecting" | "live" | "stale" | "offline";
export type GetToken = (options?: {
    skipCache?: boolean;
}) => string | null | undefined | Promise<string | null | undefined>;
export type Snapshot = {
    state: State;
    count: Count | null;
    viewers: Viewer[] | null;
    error: Error | null;
    refusal: Error | null;
    isCounting: boolean;
};
export type PresenceOptions = {
    courseId: string | number | bigint;
    chapterId?: string | number | bigint;
    /**
     * not needed with `getToken`; without both the viewer is anonymous, under a random id
     */
    viewerId?: string | number | bigint;
    name?: string;
    /**
     * https only
     */
    avatarUrl?: string;
    /**
     * be counted, but never named
     */
    anonymous?: boolean;
    /**
     * see the number without being counted
     */
    observe?: boolean;
    /**
     * how many names to keep live (at most 20; none by default)
     */
    viewers?: number;
    /**
     * keep all of `count.chapters` up to date (it is so, unless false: then only `chapterId`)
     */
    chapters?: boolean;
    /**
     * where the service is, if not where this module came from
     */
    baseUrl?: string;
    getToken?: GetToken | null;
};

/** The texts of a badge: English ones, and those that the page has set instead. */
export type Labels = {
    watching: (n: number, text: string) => string;
    /**
     * while offline
     */
    watched: (n: number, text: string) => string;
    anonymous: (n: number, text: string) => string;
    more: (n: number, text: string) => string;
    you: (name: string) => string;
    /**
     * for a viewer who has no name
     */
    nameless: string;
    connecting: string;
    /**
     * instead of a number, while the service has only started
     */
    counting: string;
    /**
     * instead of a number that the service refuses
     */
    unavailable: string;
    stale: string;
    offline: string;
};
/** @type {Labels} */
export declare const english: Labels;
/** Assign your own texts or functions to change what badges say in every language. @type {Labels} */
export declare const labels: Labels;

/** Errors: those of requests to the service, and those that are not ours. */
export declare const NO_SERVICE = "what answers is no presence service";
/** Reports an error of the page's own code to the page, where it can disturb nobody else. @param {unknown} error */
export declare const rethrow: (error: unknown) => undefined;
/** An answer that is not a success. */
export declare class PresenceError extends Error {
    status: number;
    retryAfter: number;
    /** @param {string} message @param {number} status @param {number} retryAfter milliseconds, 0 if the service named none */
    constructor(message: string, status: number, retryAfter: number);
}

/** Presence in a course without the element, for an interface of your own; the element itself is drawn from one. */
/**
 * Begins at once and ends with `leave()`.
 *
 *     const session = new PresenceSession({ courseId: "c1", viewerId: "u1", baseUrl: "https://presence.example" });
 *     const stop = session.subscribe(({ count, state }) => draw(count?.total, state));
 *     session.update({ chapterId: "ch-2" });
 */
export declare class PresenceSession {
    #private;
    /** @type {Readonly<PresenceOptions>} */ options: Readonly<PresenceOptions>;
    /** @param {PresenceOptions} options */
    constructor(options: PresenceOptions);
    /** What is known now. @returns {Snapshot} */
    get snapshot(): Snapshot;
    /** Our id in the service; with a token it is known after the first reply. @returns {string | undefined} */
    get viewerId(): string | undefined;
    /** Our own entry in the roster, if known. @ignore @returns {Viewer | null} */
    get self(): Viewer | null;
    /** All who are shown are known to be present. @ignore */
    get isSure(): boolean;
    /** @ignore @param {number} n @returns {Viewer[]} in a stable order */
    shown(n: number): Viewer[];
    /** Changes any of the options while it runs; after `leave()` it begins anew. @param {Partial<PresenceOptions>} changes */
    update(changes: Partial<PresenceOptions>): void;
    /** Calls the listener now and after each change, until the returned function is called.
     * @param {(snapshot: Snapshot) => void} listener @returns {() => void} */
    subscribe(listener: (snapshot: Snapshot) => void): () => void;
    /** Sends a heartbeat now, before it is due. */
    heartbeat(): Promise<void>;
    /** Those who are here, most recently heard from first. @param {number} [limit] @returns {Promise<Viewer[]>} */
    viewers(limit?: number): Promise<Viewer[]>;
    /** Refreshes the names. @ignore */
    refreshViewers(): Promise<void>;
    /** Leaves the course at once. */
    leave(): void;
    /** @ignore @param {Error | null} error */
    notify(error: Error | null): void;
}

/** The badge's attributes, each with a property of the same name in camel case. */
declare const Base: typeof HTMLElement;
declare class BadgeAttributes extends Base {
    #private;
    static observedAttributes: string[];
    /** @type {string | null} */
    get courseId(): string | null;
    set courseId(value: string | null);
    /** @type {string | null} */
    get chapterId(): string | null;
    set chapterId(value: string | null);
    /** @type {string | null} */
    get viewerId(): string | null;
    set viewerId(value: string | null);
    /** @type {string | null} */
    get name(): string | null;
    set name(value: string | null);
    /** @type {string | null} */
    get avatarUrl(): string | null;
    set avatarUrl(value: string | null);
    /** @type {string | null} */
    get baseUrl(): string | null;
    set baseUrl(value: string | null);
    /** @type {boolean} */
    get showAvatars(): boolean;
    set showAvatars(value: boolean);
    /** How many avatars are shown beside the number. @type {number} */
    get max(): number;
    set max(value: number);
    /** @type {boolean} */
    get anonymous(): boolean;
    set anonymous(value: boolean);
    /** @type {boolean} */
    get observe(): boolean;
    set observe(value: boolean);
    /** @type {boolean} */
    get chapters(): boolean;
    set chapters(value: boolean);
    /** Gives a bearer token, where the service asks for one; null signs out. @type {GetToken | null | undefined} */
    get getToken(): GetToken | null | undefined;
    set getToken(value: GetToken | null | undefined);
    /** @protected Called when something changed. */
    protected plan(): void;
    /** @protected Properties that were set before this module was loaded hide the accessors: sets them again. */
    protected upgrade(): void;
    /** @protected @returns {PresenceOptions} */
    protected options(): PresenceOptions;
}

/** The element: turns attributes into a session's options, and the session's state into an eye and a number. */
/**
 * How many people are watching a course right now, live.
 *
 * @customElement live-viewer-badge
 * @attr {string} course-id - the course; the only one that is required
 * @attr {string} chapter-id - the chapter that the viewer is in
 * @attr {string} viewer-id - who watches; not needed with `getToken`, random and anonymous without both
 * @attr {string} name - shown to other viewers, at most 80 characters
 * @attr {string} avatar-url - shown to other viewers, https only
 * @attr {boolean} show-avatars - avatars in the tooltip, kept live
 * @attr {number} max - so many avatars beside the number, yours first; none by default, at most 20
 * @attr {boolean} anonymous - be counted, but never named
 * @attr {boolean} observe - show the number without being counted
 * @attr {boolean} chapters - keep all of `count.chapters` up to date, not only `chapter-id`
 * @attr {string} lang - the badge's language, if not that of its parent
 * @attr {string} dir - its direction, likewise
 * @attr {string} base-url - the service's address, if not where this module was loaded from
 * @attr {string} data-state - set by the badge: connecting, live, stale or offline
 * @fires {CustomEvent<Count>} presence-change - the number, the chapters or the version changed
 * @fires {CustomEvent<{message: string, error: Error}>} presence-error - something failed; it is retried
 * @csspart badge - the whole pill
 * @csspart icon - the eye
 * @csspart count - the number
 * @csspart tooltip - the list of who is here
 * @csspart viewer - a line of that list
 * @csspart avatar - a picture, or initials
 * @csspart stack - the avatars beside the number
 * @csspart rest - "+N" behind them
 * @csspart more - "+N more"
 * @cssprop --lvb-accent - the colour of the pulse
 * @cssprop --lvb-color - text colour; the page's by default
 * @cssprop --lvb-background - a tint of the text colour by default
 * @cssprop --lvb-border - border colour
 * @cssprop --lvb-radius - roundness
 * @cssprop --lvb-padding - inner distance
 * @cssprop --lvb-font - font shorthand
 * @cssprop --lvb-avatar-size - width of an avatar in the tooltip
 * @cssprop --lvb-stack-size - width of an avatar beside the number
 * @cssprop --lvb-tooltip-color - text colour of the tooltip
 * @cssprop --lvb-tooltip-background - background of the tooltip
 * @cssprop --lvb-tooltip-font - font shorthand of the tooltip
 * @cssprop --lvb-tooltip-radius - roundness of the tooltip
 */
export declare class LiveViewerBadge extends BadgeAttributes {
    #private;
    constructor();
    /** What the badge shows. @type {Count | null} */
    get count(): Count | null;
    connectedCallback(): void;
    /** Moved by moveBefore(): nothing changes. */
    connectedMoveCallback(): void;
    /** Moved to another document, where the style sheet of this one is not taken along. */
    adoptedCallback(): void;
    disconnectedCallback(): void;
    /** @param {string} name */
    attributeChangedCallback(name: string): void;
    /** True: the viewer leaves though the element stays, as on a route that is kept hidden; false: joins again. @type {boolean} */
    get away(): boolean;
    set away(value: boolean);
    /** Several changes in a row are applied as one, and so is a move within the page. */
    plan(): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "live-viewer-badge": LiveViewerBadge;
  }
  interface HTMLElementEventMap {
    "presence-change": CustomEvent<Count>;
    "presence-error": CustomEvent<{ message: string; error: Error }>;
  }
}
