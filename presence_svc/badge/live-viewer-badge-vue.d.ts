/**
 * `<live-viewer-badge>` in Vue's templates. Once in a project, and tell Vue that it is an element
 * (`compilerOptions.isCustomElement`):
 *
 *     import type {} from "./live-viewer-badge-vue.js";
 */

import type { DefineComponent } from "vue";
import type { Count, GetToken } from "./live-viewer-badge.js";

type Flag = boolean | "" | "true" | "false";

export interface LiveViewerBadgeProps {
  courseId: string | number;
  chapterId?: string | number;
  viewerId?: string | number;
  name?: string;
  avatarUrl?: string;
  baseUrl?: string;
  showAvatars?: Flag;
  max?: string | number;
  anonymous?: Flag;
  observe?: Flag;
  chapters?: Flag;
  getToken?: GetToken | null;
  onPresenceChange?: (event: CustomEvent<Count>) => void;
  onPresenceError?: (event: CustomEvent<{ message: string; error: Error }>) => void;
}

declare module "vue" {
  interface GlobalComponents {
    LiveViewerBadge: DefineComponent<LiveViewerBadgeProps>;
    "live-viewer-badge": DefineComponent<LiveViewerBadgeProps>;
  }
}
