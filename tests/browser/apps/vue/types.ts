import type {} from "live-viewer-badge/vue";
import type { GlobalComponents } from "vue";

type Props = InstanceType<GlobalComponents["live-viewer-badge"]>["$props"];
export const right: Props = { courseId: 5, showAvatars: true };
// @ts-expect-error a course is a text or a number
export const wrong: Props = { courseId: {} };
