/**
 * `<live-viewer-badge>` in Svelte's markup. Once in a project, for instance in `src/app.d.ts`:
 *
 *     import type {} from "live-viewer-badge/svelte";
 */

import type { HTMLAttributes } from "svelte/elements";
import type { Count, LiveViewerBadge } from "./live-viewer-badge.js";
import type { LiveViewerBadgeTag } from "./live-viewer-badge-jsx.js";

type Own = Pick<
  LiveViewerBadgeTag,
  | "course-id" | "chapter-id" | "viewer-id" | "name" | "avatar-url" | "base-url" | "show-avatars" | "max"
  | "anonymous" | "observe" | "chapters" | "getToken"
>;

declare module "svelte/elements" {
  interface SvelteHTMLElements {
    "live-viewer-badge": Own &
      Omit<HTMLAttributes<LiveViewerBadge>, keyof Own> & {
        "onpresence-change"?: (event: CustomEvent<Count>) => void;
        "onpresence-error"?: (event: CustomEvent<{ message: string; error: Error }>) => void;
      };
  }
}
