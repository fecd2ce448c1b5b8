/**
 * Live viewer badge: how many people are watching a course right now.
 *
 *     <script type="module" src="https://presence.example/live-viewer-badge.js"></script>
 *     <live-viewer-badge course-id="c1" chapter-id="ch-1" viewer-id="u1" name="Ada" show-avatars></live-viewer-badge>
 */

import { LiveViewerBadge } from "./element/badge.js";

export { LiveViewerBadge };
export { PresenceError } from "./shared/error.js";
export { PresenceSession } from "./session/session.js";
export { labels } from "./element/labels.js";

if (globalThis.customElements && !customElements.get("live-viewer-badge")) {
  customElements.define("live-viewer-badge", LiveViewerBadge);
}
