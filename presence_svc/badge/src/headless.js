/** Presence without the element: what `live-viewer-badge/session` of the npm package is. */

export { PresenceError } from "./shared/error.js";
export { PresenceSession } from "./session/session.js";
