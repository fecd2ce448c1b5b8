export type LiveViewerBadgeElement = import("./live-viewer-badge.js").LiveViewerBadge;
export type Count = import("./live-viewer-badge.js").Count;
export type LiveViewerBadgeOwnProps = {
    /**
     * the only prop that is required
     */
    courseId: string | number;
    chapterId?: string | number;
    viewerId?: string | number;
    name?: string;
    avatarUrl?: string;
    showAvatars?: boolean;
    anonymous?: boolean;
    observe?: boolean;
    /**
     * keep `count.chapters` up to date
     */
    chapters?: boolean;
    /**
     * so many faces beside the number
     */
    max?: number;
    baseUrl?: string;
    getToken?: import("./live-viewer-badge.js").GetToken | null;
    onPresenceChange?: (count: Count) => void;
    onPresenceError?: (problem: {
        message: string;
        error: Error;
    }) => void;
};
export type LiveViewerBadgeProps = LiveViewerBadgeOwnProps & Omit<import("react").HTMLAttributes<HTMLElement>, "children">;
/**
 * @typedef {import("./live-viewer-badge.js").LiveViewerBadge} LiveViewerBadgeElement
 * @typedef {import("./live-viewer-badge.js").Count} Count
 */
/**
 * @typedef {object} LiveViewerBadgeOwnProps
 * @property {string | number} courseId the only prop that is required
 * @property {string | number} [chapterId]
 * @property {string | number} [viewerId]
 * @property {string} [name]
 * @property {string} [avatarUrl]
 * @property {boolean} [showAvatars]
 * @property {boolean} [anonymous]
 * @property {boolean} [observe]
 * @property {boolean} [chapters] keep `count.chapters` up to date
 * @property {number} [max] so many faces beside the number
 * @property {string} [baseUrl]
 * @property {import("./live-viewer-badge.js").GetToken | null} [getToken]
 * @property {(count: Count) => void} [onPresenceChange]
 * @property {(problem: {message: string, error: Error}) => void} [onPresenceError]
 */
/** @typedef {LiveViewerBadgeOwnProps & Omit<import("react").HTMLAttributes<HTMLElement>, "children">} LiveViewerBadgeProps */
/** @type {import("react").ForwardRefExoticComponent<LiveViewerBadgeProps & import("react").RefAttributes<LiveViewerBadgeElement>>} */
export declare const LiveViewerBadge: import("react").ForwardRefExoticComponent<LiveViewerBadgeProps & import("react").RefAttributes<LiveViewerBadgeElement>>;
export type PresenceOptions = import("./live-viewer-badge.js").PresenceOptions;
/** @typedef {import("./live-viewer-badge.js").PresenceOptions} PresenceOptions */
/**
 * The viewer is in the course while the component is mounted; any option may change at any time.
 *
 * `getToken` may be another function at each render: whether there is one is what counts.
 *
 * @param {PresenceOptions} options @returns {import("./live-viewer-badge.js").Snapshot}
 */
export declare function usePresence(options: PresenceOptions): import("./live-viewer-badge.js").Snapshot;
