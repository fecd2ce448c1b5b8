import type {} from "live-viewer-badge/svelte";
import type { SvelteHTMLElements } from "svelte/elements";

type Tag = SvelteHTMLElements["live-viewer-badge"];
export const right: Tag = {
  "course-id": 5,
  name: "Ada",
  class: "mine",
  "onpresence-change": (event) => event.detail.total.toFixed(),
};
// @ts-expect-error a course is a text or a number
export const wrong: Tag = { "course-id": {} };
