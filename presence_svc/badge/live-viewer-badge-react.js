"use client";
/**
 * The badge as a React component, for React 18 and 19: the attributes of `<live-viewer-badge>` as props in camel case.
 *
 *     <LiveViewerBadge courseId="c1" chapterId="ch-1" viewerId={user.id} name={user.name} showAvatars />
 *
 * And presence without the element, for an interface of one's own:
 *
 *     const { count, state } = usePresence({ courseId: "c1", viewerId: user.id, baseUrl: "https://presence.example" });
 */

import { createElement, forwardRef, useEffect, useImperativeHandle, useLayoutEffect, useRef, useState } from "react";
import { PresenceSession } from "./live-viewer-badge.js";

/** On a server there is no layout, and React 18 says so in the log. */
const useSync = typeof document === "undefined" ? useEffect : useLayoutEffect;

/**
 * @typedef {import("./live-viewer-badge.js").LiveViewerBadge} LiveViewerBadgeElement
 * @typedef {import("./live-viewer-badge.js").Count} Count
 */

/**
 * @typedef {object} LiveViewerBadgeOwnProps
 * @property {string | number} courseId the only prop that is required
 * @property {string | number} [chapterId]
 * @property {string | number} [viewerId]
 * @property {string} [name]
 * @property {string} [avatarUrl]
 * @property {boolean} [showAvatars]
 * @property {boolean} [anonymous]
 * @property {boolean} [observe]
 * @property {boolean} [chapters] keep `count.chapters` up to date
 * @property {number} [max] so many faces beside the number
 * @property {string} [baseUrl]
 * @property {import("./live-viewer-badge.js").GetToken | null} [getToken]
 * @property {(count: Count) => void} [onPresenceChange]
 * @property {(problem: {message: string, error: Error}) => void} [onPresenceError]
 */

/** @typedef {LiveViewerBadgeOwnProps & Omit<import("react").HTMLAttributes<HTMLElement>, "children">} LiveViewerBadgeProps */

/** @type {import("react").ForwardRefExoticComponent<LiveViewerBadgeProps & import("react").RefAttributes<LiveViewerBadgeElement>>} */
export const LiveViewerBadge = forwardRef((/** @type {LiveViewerBadgeProps} */ props, ref) => {
  const { courseId, chapterId, viewerId, avatarUrl, showAvatars, anonymous, observe, chapters, ...rest } = props;
  const { baseUrl, className, getToken, onPresenceChange, onPresenceError, ...others } = rest;
  const element = useRef(/** @type {LiveViewerBadgeElement | null} */ (null));
  useImperativeHandle(ref, () => /** @type {LiveViewerBadgeElement} */ (element.current));
  useSync(() => {
    if (element.current) element.current.getToken = getToken;
  }, [getToken]);
  useSync(() => {
    const badge = element.current;
    if (badge) badge.away = false;
    return () => {
      if (badge) badge.away = true; // <Activity>, and so Next.js, hides a route and keeps its elements
    };
  }, []);
  useEvent(element, "presence-change", onPresenceChange);
  useEvent(element, "presence-error", onPresenceError);
  return createElement("live-viewer-badge", {
    suppressHydrationWarning: true, // the element may have been upgraded, and have set data-state, before
    ...others,
    ref: element,
    class: className, // React 18 would write "classname" on a custom element
    "course-id": courseId,
    "chapter-id": chapterId,
    "viewer-id": viewerId,
    "avatar-url": avatarUrl,
    "base-url": baseUrl,
    "show-avatars": showAvatars ? "" : undefined,
    anonymous: anonymous || undefined, // these are properties as well, which React 19 prefers
    observe: observe || undefined,
    chapters: chapters || undefined,
  });
});

/**
 * @param {import("react").RefObject<LiveViewerBadgeElement | null>} element @param {string} type
 * @param {((detail: any) => void) | undefined} handler
 */
function useEvent(element, type, handler) {
  useSync(() => {
    const badge = element.current;
    if (!badge || !handler) return undefined;
    const listener = (/** @type {Event} */ event) => handler(/** @type {CustomEvent} */ (event).detail);
    badge.addEventListener(type, listener);
    return () => badge.removeEventListener(type, listener);
  }, [element, type, handler]);
}

/** @type {import("./live-viewer-badge.js").Snapshot} */
const NOTHING = { state: "connecting", count: null, viewers: null, error: null, refusal: null, isCounting: false };

/** @typedef {import("./live-viewer-badge.js").PresenceOptions} PresenceOptions */

/**
 * The viewer is in the course while the component is mounted; any option may change at any time.
 *
 * `getToken` may be another function at each render: whether there is one is what counts.
 *
 * @param {PresenceOptions} options @returns {import("./live-viewer-badge.js").Snapshot}
 */
export function usePresence(options) {
  const [snapshot, setSnapshot] = useState(NOTHING);
  const session = useRef(/** @type {PresenceSession | null} */ (null));
  const end = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  const given = useRef(options.getToken);
  given.current = options.getToken;
  const token = useRef(/** @type {import("./live-viewer-badge.js").GetToken} */ ((how) => given.current?.(how)));
  const { courseId, chapterId, viewerId, name, avatarUrl, anonymous, observe, viewers, chapters, baseUrl } = options;
  const isSigned = Boolean(options.getToken);
  /** @returns {PresenceOptions} */
  const wanted = () => ({
    ...{ courseId, chapterId, viewerId, name, avatarUrl, anonymous, observe, viewers, chapters, baseUrl },
    getToken: isSigned ? token.current : null,
  });
  useEffect(() => {
    clearTimeout(end.current); // strict mode mounts twice in one go: that is one session, and no leave
    session.current ??= new PresenceSession(wanted());
    const stop = session.current.subscribe(setSnapshot);
    return () => {
      stop();
      end.current = setTimeout(() => {
        session.current?.leave();
        session.current = null;
      });
    };
  }, []);
  useEffect(() => {
    if (session.current && !isFirst(session.current)) session.current.update(wanted());
  }, [courseId, chapterId, viewerId, name, avatarUrl, anonymous, observe, viewers, chapters, baseUrl, isSigned]);
  return snapshot;
}

/** @type {WeakSet<PresenceSession>} */
const begun = new WeakSet();

/** A session has been made with the options of the first render already. @param {PresenceSession} session */
function isFirst(session) {
  return !begun.has(session) && Boolean(begun.add(session));
}
