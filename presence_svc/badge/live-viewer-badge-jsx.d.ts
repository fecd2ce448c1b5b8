/**
 * `<live-viewer-badge>` in JSX and TSX, for React 18 and 19 and whatever else has a JSX namespace. Once in a project:
 *
 *     import type {} from "./live-viewer-badge-jsx.js";
 */

import type { LiveViewerBadge } from "./live-viewer-badge.js";

/** Numbers are ids too, and frameworks write true and false. */
type Flag = boolean | "" | "true" | "false";

export interface LiveViewerBadgeTag {
  "course-id": string | number;
  "chapter-id"?: string | number;
  "viewer-id"?: string | number;
  name?: string;
  "avatar-url"?: string;
  "base-url"?: string;
  "show-avatars"?: Flag;
  max?: string | number;
  anonymous?: Flag;
  observe?: Flag;
  chapters?: Flag;
  lang?: string;
  dir?: string;
  id?: string;
  class?: string;
  className?: string;
  slot?: string;
  style?: any;
  title?: string;
  hidden?: boolean;
  key?: any;
  ref?: any;
  /** Before React 19 only a ref can set a function. */
  getToken?: LiveViewerBadge["getToken"];
  [data: `data-${string}` | `aria-${string}` | `on${string}`]: any;
}

declare global {
  namespace JSX {
    interface IntrinsicElements {
      "live-viewer-badge": LiveViewerBadgeTag;
    }
  }
}

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "live-viewer-badge": LiveViewerBadgeTag;
    }
  }
}
