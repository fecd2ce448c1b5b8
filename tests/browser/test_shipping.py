"""What ships: small, typed, generated from what is written, at home in React 18 and 19 and on a server."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests import rig
from tests.browser.stage import Others, Site, number, until, until_holds, until_total

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

BADGE = rig.ROOT / "presence_svc/badge"
BUNDLE = BADGE / "live-viewer-badge.js"
GENERATED = [
    "live-viewer-badge.js",
    "live-viewer-badge.d.ts",
    "live-viewer-badge-react.d.ts",
    "live-viewer-badge-languages.js",
    "custom-elements.json",
]
REACT_APP = """
import { createElement as h, useState } from "react";
import { createRoot } from "react-dom/client";
import { version } from "react";
import { LiveViewerBadge } from "./live-viewer-badge-react.js";

function App() {
  const [chapterId, setChapter] = useState("ch-1");
  const [observe, setObserve] = useState(false);
  const [total, setTotal] = useState(0);
  Object.assign(window, { setChapter, setObserve, version });
  const common = { courseId: "COURSE", baseUrl: "BASE" };
  return h("main", null,
    h(LiveViewerBadge, {
      ...common, chapterId, viewerId: "ada", name: "Ada", showAvatars: true, observe, className: "mine",
      onPresenceChange: (count) => setTotal(count.total), ref: (node) => { window.badge = node; },
    }),
    h("output", null, total));
}
createRoot(document.body.appendChild(document.createElement("div"))).render(h(App));
"""

HYDRATED_APP = """
import * as React from "react";
import { hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server.browser";
import { LiveViewerBadge } from "./live-viewer-badge-react.js";

const { createElement: h, useState, Activity = React.Fragment } = React;
function App() {
  const [mode, setMode] = useState("visible");
  Object.assign(window, { setMode });
  const options = Activity === React.Fragment ? {} : { mode };
  const who = { courseId: "COURSE", baseUrl: "BASE", viewerId: "ada", name: "Ada", max: 3 };
  return h("main", null, h(Activity, options, h(LiveViewerBadge, who)));
}
const root = document.body.appendChild(document.createElement("div"));
const { error } = console;
console.error = () => {}; // there is a document here, so React 18 warns of layout effects
root.innerHTML = renderToString(h(App));
console.error = error;
const sent = root.querySelector("live-viewer-badge");
setTimeout(() => {
  hydrateRoot(root, h(App));
  window.isSame = () => root.querySelector("live-viewer-badge") === sent;
}, 300);
"""


def run(tooling: Path, *command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd or tooling, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_module_is_below_seventeen_kilobytes() -> None:
    """It is on every page of somebody's site, so it is small: a leader among pages, fallbacks and all.

    Ten thousand bytes held before pages shared a stream, sixteen before it was tried among others' scripts;
    the words of nine languages are a file of their own.
    """
    assert len(gzip.compress(BUNDLE.read_bytes(), 9)) < 17_000
    assert len(gzip.compress((BADGE / "live-viewer-badge-languages.js").read_bytes(), 9)) < 2_500


def test_the_module_depends_on_nothing() -> None:
    """One file: it imports nothing and names no address outside."""
    text = BUNDLE.read_text()

    assert "import " not in text.replace("import.meta", "")
    assert "https://" not in text.replace("https:\\/\\/", "")
    assert "http://www.w3.org/2000/svg" in text
    assert text.count("http://") == 1


def test_types_hold(tooling: Path) -> None:
    """JSDoc is checked by `tsc --checkJs --strict`, the React wrapper's too."""
    run(tooling, "npm", "run", "--silent", "check")


def test_what_ships_is_what_is_written(tooling: Path, tmp_path: Path) -> None:
    """Bundle, declarations and manifest are made from badge/src; `npm run build` after a change."""
    run(tooling, "node", "build.mjs", str(tmp_path))

    for name in GENERATED:
        assert (BADGE / name).read_text() == (tmp_path / name).read_text(), f"{name}: npm run build"


def test_declarations_serve_a_user(tooling: Path, tmp_path: Path) -> None:
    """A strict TypeScript page uses element, session and React component by their types alone."""
    (tmp_path / "page.ts").write_text(
        """
        import { PresenceSession, labels, type Count } from "./live-viewer-badge.js";
        const badge = document.createElement("live-viewer-badge");
        badge.courseId = "c1";
        badge.getToken = async (options) => (options?.skipCache ? "new" : "old");
        badge.getToken = null;
        badge.addEventListener("presence-change", (event) => use(event.detail));
        function use(count: Count) { count.total.toFixed(); }
        const session = new PresenceSession({ courseId: "c1", observe: true });
        const stop: () => void = session.subscribe(({ count, state }) => {
          if (count && state === "live") use(count);
        });
        labels.watching = (n) => `${n}`;
        stop();
        // @ts-expect-error a course id is required
        new PresenceSession({});
        """
    )
    (tmp_path / "page.tsx").write_text(
        """
        import { LiveViewerBadge } from "./live-viewer-badge-react.js";
        export const page = <LiveViewerBadge courseId="c1" chapterId="ch-1" getToken={null} title="x" />;
        // @ts-expect-error a course id is required
        export const wrong = <LiveViewerBadge chapterId="ch-1" />;
        """
    )
    (tmp_path / "tag.tsx").write_text(
        """
        import type {} from "./live-viewer-badge-jsx.js";
        export const page = <live-viewer-badge course-id={42} show-avatars="false" max="3" data-x="1" />;
        // @ts-expect-error a course id is required
        export const wrong = <live-viewer-badge chapter-id="ch-1" />;
        """
    )
    # Vue itself is no part of the tooling: what its template compiler asks for is this interface.
    (tmp_path / "vue.d.ts").write_text(
        """
        declare module "vue" {
          export interface DefineComponent<P> { new (): { $props: P } }
          export interface GlobalComponents {}
        }
        """
    )
    (tmp_path / "tag.ts").write_text(
        """
        /// <reference path="./vue.d.ts" />
        import type { GlobalComponents } from "vue";
        import type {} from "./live-viewer-badge-vue.js";
        type Props = InstanceType<GlobalComponents["LiveViewerBadge"]>["$props"];
        export const right: Props = { courseId: 42, showAvatars: "false" };
        export const heard: Props = { courseId: "c", onPresenceChange: (e) => e.detail.total };
        // @ts-expect-error a course id is required
        export const wrong: Props = { chapterId: "ch-1" };
        """
    )
    for name in [*GENERATED[1:3], "live-viewer-badge-jsx.d.ts", "live-viewer-badge-vue.d.ts"]:
        (tmp_path / name).write_text((BADGE / name).read_text())
    (tmp_path / "node_modules").symlink_to(tooling / "node_modules")
    options = ["--strict", "--noEmit", "--target", "es2023", "--module", "esnext", "--jsx", "react-jsx"]
    options += ["--moduleResolution", "bundler", "--types", "react"]

    run(tooling, "node_modules/.bin/tsc", *options, "page.ts", "page.tsx", "tag.tsx", "tag.ts", cwd=tmp_path)


def test_the_manifest_names_what_there_is() -> None:
    """Editors complete from it: every attribute, part, property and event of the contract."""
    (module,) = json.loads((BADGE / "custom-elements.json").read_text())["modules"]
    (element,) = module["declarations"]

    def names(kind: str) -> set[str]:
        return {one["name"] for one in element[kind]}

    assert element["tagName"] == "live-viewer-badge"
    assert names("attributes") == {
        *("course-id", "chapter-id", "viewer-id", "name", "avatar-url", "show-avatars"),
        *("anonymous", "observe", "chapters", "max", "base-url", "lang", "dir", "data-state"),
    }
    parts = {"badge", "icon", "count", "stack", "rest", "tooltip", "viewer", "avatar", "more"}
    assert names("cssParts") == parts
    assert names("events") == {"presence-change", "presence-error"}
    assert "getToken" in names("members")
    assert all(name.startswith("--lvb-") for name in names("cssProperties"))


def test_it_may_be_imported_on_a_server(tooling: Path) -> None:
    """Frameworks import modules where there is no document; nothing may happen then."""
    script = (
        f"const m = await import({json.dumps(BUNDLE.as_uri())}); console.log(Object.keys(m).sort().join());"
    )

    said = run(tooling, "node", "--input-type=module", "-e", script)

    assert said.strip() == "LiveViewerBadge,PresenceError,PresenceSession,labels"


def bundled(site: Site, service: rig.Service, tooling: Path, folder: Path, app: str, react: str) -> str:
    """The address of a page with this app, bundled for development with this React."""
    for name in ("live-viewer-badge.js", "live-viewer-badge-react.js"):
        (folder / name).write_text((BADGE / name).read_text())
    (folder / "app.js").write_text(app.replace("BASE", service.url))
    (folder / "node_modules").symlink_to(tooling / "node_modules")
    alias = ["--alias:react=react-18", "--alias:react-dom=react-dom-18"] if react == "18" else []
    options = ["--bundle", "--format=esm", "--define:process.env.NODE_ENV='development'", *alias]
    esbuild = str(tooling / "node_modules/.bin/esbuild")
    script = run(tooling, esbuild, "app.js", *options, "--log-level=error", cwd=folder)
    site.add(script, "/app.js", "text/javascript")
    return site.add('<!doctype html><title>t</title><body><script type="module" src="/app.js"></script>')


@pytest.mark.parametrize("react", ["18", "19"])
def test_the_react_component_works(
    context: BrowserContext,
    site: Site,
    service: rig.Service,
    others: Others,
    tooling: Path,
    tmp_path: Path,
    course: str,
    react: str,
) -> None:
    """React 18 and 19: props in camel case, changed at run time; a ref, a class and an event."""
    page = context.new_page()
    page.goto(bundled(site, service, tooling, tmp_path, REACT_APP.replace("COURSE", course), react))

    expect(page.locator("output")).to_have_text("1")
    assert page.evaluate("version").startswith(f"{react}.")
    assert page.evaluate("badge.className") == "mine"
    page.hover("live-viewer-badge")
    expect(page.locator("[part=tooltip]")).to_contain_text("Ada (you)")
    page.evaluate("setChapter('ch-2')")
    until_holds(page, lambda: others.count(course)["chapters"] == {"ch-2": 1})
    others.beat(course, "bob")
    page.evaluate("setObserve(true)")
    expect(number(page)).to_have_text("1")
    page.evaluate("setObserve(false)")
    expect(page.locator("output")).to_have_text("2")


@pytest.mark.parametrize("react", ["18", "19"])
def test_react_takes_over_what_a_server_rendered(
    context: BrowserContext,
    site: Site,
    service: rig.Service,
    others: Others,
    tooling: Path,
    tmp_path: Path,
    course: str,
    react: str,
) -> None:
    """The element has set data-state before React comes: no warning. A hidden <Activity> counts nobody."""
    others.beat(course, "bob")
    page = context.new_page()
    page.goto(bundled(site, service, tooling, tmp_path, HYDRATED_APP.replace("COURSE", course), react))
    until(page, "Boolean(window.isSame)")
    expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")
    expect(number(page)).to_have_text("2")
    assert page.evaluate("isSame()")

    if react == "18":
        return  # has no <Activity>
    page.evaluate("setMode('hidden')")
    until_total(page, others, course, 1)
    page.evaluate("setMode('visible')")
    until_total(page, others, course, 2)
    expect(number(page)).to_have_text("2")
