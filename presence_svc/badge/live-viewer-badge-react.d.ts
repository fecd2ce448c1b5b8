import "./live-viewer-badge.js";
export type LiveViewerBadgeElement = import("./live-viewer-badge.js").LiveViewerBadge;
export type Count = import("./live-viewer-badge.js").Count;
export type LiveViewerBadgeOwnProps = {
    /**
     * the only prop that is required
     */
    courseId: string;
    chapterId?: string;
    viewerId?: string;
    name?: string;
    avatarUrl?: string;
    showAvatars?: boolean;
    anonymous?: boolean;
    observe?: boolean;
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
 * @property {string} courseId the only prop that is required
 * @property {string} [chapterId]
 * @property {string} [viewerId]
 * @property {string} [name]
 * @property {string} [avatarUrl]
 * @property {boolean} [showAvatars]
 * @property {boolean} [anonymous]
 * @property {boolean} [observe]
 * @property {string} [baseUrl]
 * @property {import("./live-viewer-badge.js").GetToken | null} [getToken]
 * @property {(count: Count) => void} [onPresenceChange]
 * @property {(problem: {message: string, error: Error}) => void} [onPresenceError]
 */
/** @typedef {LiveViewerBadgeOwnProps & Omit<import("react").HTMLAttributes<HTMLElement>, "children">} LiveViewerBadgeProps */
/** @type {import("react").ForwardRefExoticComponent<LiveViewerBadgeProps & import("react").RefAttributes<LiveViewerBadgeElement>>} */
export declare const LiveViewerBadge: import("react").ForwardRefExoticComponent<LiveViewerBadgeProps & import("react").RefAttributes<LiveViewerBadgeElement>>;
