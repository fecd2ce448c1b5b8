import type {} from "live-viewer-badge/jsx";
import { PresenceSession, type Snapshot } from "live-viewer-badge/session";
import { LiveViewerBadge, usePresence } from "live-viewer-badge/react";
import type { paths } from "live-viewer-badge/api";

export type Count = paths["/v1/courses/{course_id}/count"];
export const session = () => new PresenceSession({ courseId: "c1" });
export const Tag = () => <live-viewer-badge course-id="c1" show-avatars />;
export const Component = () => <LiveViewerBadge courseId="c1" onPresenceChange={(count) => count.total} />;
export function Hook() {
  const snapshot: Snapshot = usePresence({ courseId: "c1" });
  return <p>{snapshot.count?.total}</p>;
}
// @ts-expect-error a course id is required
export const Wrong = () => <LiveViewerBadge />;
