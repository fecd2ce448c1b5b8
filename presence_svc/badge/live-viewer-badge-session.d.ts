/** Types of `live-viewer-badge/session`: presence without the element. */

export { PresenceError, PresenceSession } from "./live-viewer-badge.js";
export type { Count, GetToken, PresenceOptions, Snapshot, State, Viewer } from "./live-viewer-badge.js";
