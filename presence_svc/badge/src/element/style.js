/**
 * The style sheet. A badge takes its text colour and colour scheme from the page, so that it fits
 * light and dark ones alike; `--lvb-*` and the parts change the rest. A constructed sheet: no page's CSP forbids it.
 */

import { h } from "./dom.js";

const CSS = `
:host { display: inline-block; position: relative; vertical-align: middle; --live: var(--lvb-accent, light-dark(#0a7d50, #3ddc97)); }
:host([hidden]) { display: none; }
[part=badge] {
  display: inline-flex; align-items: center; vertical-align: middle; gap: .4em; box-sizing: border-box; padding: var(--lvb-padding, .35em .7em .35em .55em);
  font: var(--lvb-font, 600 .875rem/1.2 system-ui, sans-serif); font-variant-numeric: tabular-nums; white-space: nowrap;
  color: var(--lvb-color, inherit); background: var(--lvb-background, color-mix(in srgb, currentColor 8%, transparent));
  border: 1px solid var(--lvb-border, color-mix(in srgb, currentColor 16%, transparent)); border-radius: var(--lvb-radius, 99px);
  transition: opacity .3s; cursor: default; user-select: none; -webkit-tap-highlight-color: transparent;
}
[part=badge]:focus-visible { outline: 2px solid var(--live); outline-offset: 2px; }
[part=count] { min-width: 1ch; text-align: center; }
[part=stack], .avatars { display: inline-flex; align-items: center; vertical-align: middle; }
[part=stack] { gap: .3em; margin-inline-start: .4em; font: var(--lvb-font, 600 .875rem/1.2 system-ui, sans-serif); font-variant-numeric: tabular-nums; cursor: default; }
[part=stack] [part=avatar] { width: var(--lvb-stack-size, 1.75rem); height: var(--lvb-stack-size, 1.75rem); font-size: .625rem; margin-inline-start: -.25rem; box-shadow: 0 0 0 2px Canvas; }
[part=stack] [part=avatar]:first-child { margin-inline-start: 0; }
[part=rest] { font-weight: 500; opacity: .8; }
[part=rest]:empty, .avatars:empty { display: none; }
[part=stack][hidden] { display: none; }
[part=icon] { width: 1.35em; height: 1.35em; overflow: visible; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
.pupil, .ring { fill: var(--live); stroke: none; }
.ring { transform-origin: 12px 12px; animation: pulse 2.4s ease-out infinite; }
.slash { display: none; }
@keyframes pulse { 0% { transform: scale(1); opacity: .55; } 70%, 100% { transform: scale(3); opacity: 0; } }
:host(:not([data-state=live])) .pupil { fill: currentColor; }
:host(:not([data-state=live])) .ring { display: none; }
:host([data-state=stale]) [part=badge], :host([data-state=connecting]) [part=badge] { opacity: .75; }
:host([data-state=offline]) [part=badge] { opacity: .7; border-style: dashed; }
:host([data-state=offline]) .slash { display: inline; }
[part=tooltip] {
  display: none; position: fixed; inset: auto; z-index: 2147483647; margin: 0; box-sizing: border-box; width: max-content;
  max-width: min(18rem, calc(100vw - 16px)); padding: .75rem .9rem; text-align: start; overflow-x: hidden; overflow-y: auto; overscroll-behavior: contain; white-space: normal;
  font: var(--lvb-tooltip-font, 400 .8125rem/1.4 system-ui, sans-serif); color: var(--lvb-tooltip-color, CanvasText);
  background: var(--lvb-tooltip-background, Canvas); border: 1px solid color-mix(in srgb, CanvasText 15%, transparent);
  border-radius: var(--lvb-tooltip-radius, 12px); box-shadow: 0 8px 28px rgb(0 0 0 / .18);
}
[part=tooltip][data-open] { display: block; animation: appear .14s ease-out; }
@keyframes appear { from { opacity: 0; translate: 0 4px; } }
.title { font-weight: 600; }
.note { opacity: .75; }
.first { margin-top: .45rem; }
ul { list-style: none; margin: .55rem 0 0; padding: 0; display: grid; gap: .4rem; }
ul:empty, .note:empty { display: none; }
[part=viewer] { display: flex; align-items: center; gap: .5rem; min-width: 0; }
[part=viewer] bdi { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
[part=avatar] {
  flex: none; display: grid; place-items: center; width: var(--lvb-avatar-size, 1.75rem); height: var(--lvb-avatar-size, 1.75rem); border-radius: 50%; overflow: hidden;
  font-size: .6875rem; font-weight: 600; color: #fff; background: oklch(47% .1 var(--hue));
}
[part=avatar] img { width: 100%; height: 100%; object-fit: cover; }
.status { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@supports not (color: light-dark(#000, #fff)) { :host { --live: var(--lvb-accent, #0a7d50); } }
@supports not (color: oklch(47% .1 0)) { [part=avatar] { background: hsl(var(--hue) 45% 26%); } }
@supports not (color: color-mix(in srgb, #000, #fff)) { [part=badge], [part=tooltip] { border: 1px solid; } }
@media (prefers-reduced-motion: reduce) { .ring, [part=tooltip][data-open] { animation: none; } [part=badge] { transition: none; } .ring { opacity: 0; } }
@media (forced-colors: active) { [part=badge], [part=tooltip] { border-color: CanvasText; } .pupil, .ring { fill: Highlight; } [part=icon] { stroke: CanvasText; } [part=avatar] { border: 1px solid CanvasText; } [part=stack] [part=avatar] { box-shadow: none; } :host(:not([data-state=live])) .pupil { fill: CanvasText; } }
`;

/** @type {WeakMap<Document, CSSStyleSheet>} */ const sheets = new WeakMap();

/** One sheet for all badges of a document; an element for each where sheets cannot be made (before Safari 16.4). @param {ShadowRoot} root */
export function applyStyle(root) {
  const { ownerDocument: page } = root;
  try {
    let sheet = sheets.get(page);
    if (!sheet) {
      const { CSSStyleSheet: Sheet } = /** @type {any} */ (page.defaultView);
      sheet = /** @type {CSSStyleSheet} */ (new Sheet());
      sheet.replaceSync(CSS);
      sheets.set(page, sheet);
    }
    root.adoptedStyleSheets = [sheet];
  } catch {
    if (!root.querySelector("style")) root.append(h("style", {}, CSS));
  }
}
