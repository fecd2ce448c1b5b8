"""Real apps, made from the npm package as it would be published and from the examples of docs/badge.md.

Each is installed, built and served by its framework's own tools, opened in Chromium and counted once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha384
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from presence_svc import __version__
from tests import rig
from tests.browser.conftest import Complaints
from tests.browser.stage import Others, Site, number

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

APPS = Path(__file__).parent / "apps"
DOCS = (rig.ROOT / "docs/badge.md").read_text()
ADDRESS = "http://127.0.0.1:8000"
EXAMPLES = dict(re.findall(r"^```\w+\n(?://|<!--) (\S+?)(?: -->)?\n(.*?)^```$", DOCS, re.S | re.M))
FOLDER = {"svelte": "src/routes", "next": "app"}  # where an app keeps its components; else at its top
NEEDS = {
    "react": ("Course.jsx", "Watching.jsx"),
    "vue": ("Course.vue", "vite.config.js"),
    "svelte": ("Course.svelte",),
    "next": ("Course.jsx",),
}
REACT_18 = {"react": "18.3.1", "react-dom": "18.3.1"}


class App:
    """One framework's app in a folder of its own."""

    def __init__(self, kind: str, folder: Path, tarball: Path) -> None:
        self.folder = folder / kind
        self._kind = kind
        self._tarball = tarball
        shutil.copytree(APPS / kind, self.folder, ignore=shutil.ignore_patterns("node_modules"))

    def written_for(self, url: str, course: str) -> None:
        """Puts the pages' examples in, with the service's address, and the course everywhere."""
        for name in NEEDS[self._kind]:
            place = self.folder if name == "vite.config.js" else self.folder / FOLDER.get(self._kind, "")
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(EXAMPLES[name].replace(ADDRESS, url))
        for path in [*self.folder.rglob("*.jsx"), *self.folder.rglob("*.js"), *self.folder.rglob("*.svelte")]:
            path.write_text(path.read_text().replace("COURSE", course).replace("BASE", url))

    def depend(self, **versions: str) -> None:
        """The package under test, and other versions than the app's own."""
        path = self.folder / "package.json"
        made = json.loads(path.read_text())
        made.setdefault("dependencies", {}).update(versions, **{"live-viewer-badge": f"file:{self._tarball}"})
        path.write_text(json.dumps(made))

    def npm(self, *words: str) -> None:
        command = [rig.need("npm"), *words]
        done = subprocess.run(
            command, cwd=self.folder, env=_environment(), capture_output=True, text=True, timeout=400
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    def check_types(self, tools: Path) -> None:
        """A strict program of the framework's own kind, by the types of the package alone."""
        options = ["--strict", "--noEmit", "--target", "es2022", "--module", "esnext", "--jsx", "react-jsx"]
        options += ["--moduleResolution", "bundler", "--skipLibCheck"]
        for program in self.folder.glob("types.ts*"):
            command = [str(tools / "node_modules/.bin/tsc"), *options, program.name]
            done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stdout

    @contextmanager
    def served(self) -> Iterator[str]:
        """By its framework's own server."""
        port = rig.free_port()
        command = ["npm", "run", "serve", "--", "--port", str(port)]
        where = ["-H", "127.0.0.1"] if self._kind == "next" else ["--host", "127.0.0.1", "--strictPort"]
        process = subprocess.Popen(
            [*command, *where],
            cwd=self.folder,
            env=_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            rig.wait_until(lambda: rig.answers(port), within_s=60)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)


def _environment() -> dict[str, str]:
    return os.environ | {"NEXT_TELEMETRY_DISABLED": "1", "CI": "1", "npm_config_update_notifier": "false"}


@pytest.fixture(scope="session")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `npm publish` would send."""
    return rig.npm_pack(tmp_path_factory.mktemp("package"))


Counted = Callable[[str, str], Page]


@pytest.fixture
def counted(context: BrowserContext, others: Others, course: str, tmp_path: Path) -> Counted:
    """Opens a page and holds that its viewer is counted, once, by name, and sees others come."""

    def open_(url: str, name: str) -> Page:
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(url)
        expect(number(page)).to_have_text("1", timeout=30_000)
        rig.wait_until(lambda: others.count(course)["total"] == 1)  # the badge counts itself before that
        assert [viewer["name"] for viewer in others.viewers(course)] == ["Ada"]
        others.beat(course, "bob", name="Bob")
        expect(number(page)).to_have_text("2", timeout=30_000)
        page.locator("live-viewer-badge").hover()
        expect(page.locator("live-viewer-badge [part=tooltip]")).to_contain_text("Bob")
        shots = Path(os.environ.get("SCREENSHOTS", tmp_path))
        page.wait_for_timeout(500)  # the tooltip fades in
        page.screenshot(path=shots / f"{name}.png")
        return page

    return open_


def gone(page: Page, others: Others, course: str) -> None:
    """S5: whoever closes the page leaves, and nobody of theirs stays behind."""
    page.close(run_before_unload=True)
    rig.wait_until(lambda: others.count(course)["total"] == 1, within_s=30)


def follow(page: Page, others: Others, course: str) -> None:
    """The hook: counted once though strict mode mounts twice, follows its options, leaves when unmounted."""

    def chapters() -> dict[str, int]:
        found: dict[str, int] = others.count(course)["chapters"]
        return found

    expect(page.locator("output")).to_have_text("1")
    assert chapters() == {"ch-1": 1}
    page.locator("button").click()
    rig.wait_until(lambda: chapters() == {"ch-2": 1})
    assert others.count(course)["total"] == 1
    page.locator("button").click()
    rig.wait_until(lambda: others.count(course)["total"] == 0)


@pytest.mark.parametrize("kind", ["react-19", "vue", "react-18", "next", "svelte"])
def test_an_app(
    kind: str,
    tools: Path,
    tarball: Path,
    service: rig.Service,
    others: Others,
    course: str,
    counted: Counted,
    tmp_path: Path,
) -> None:
    """Installed from the tarball, built for production, in strict mode where there is one: counted once."""
    framework, _, version = kind.partition("-")
    app = App(framework, tmp_path, tarball)
    app.written_for(service.url, course)
    app.depend(**(REACT_18 if version == "18" else {}))
    app.npm("install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error")
    app.check_types(tools)
    app.npm("run", "build")

    with app.served() as url:
        page = counted(url, kind)

        if framework == "react":
            expect(page.locator("h1")).to_have_text(re.compile(rf"React {version}\."))
            expect(page.locator("p.live")).to_have_text("2 here now")
            follow(page, others, f"{course}-hook")
        gone(page, others, course)


def test_a_page_rendered_on_the_server_has_the_element(tarball: Path, tmp_path: Path) -> None:
    """The package is imported where there is no document: React's markup has the tag with its attributes."""
    app = App("react", tmp_path, tarball)
    app.depend()
    (app.folder / "server.mjs").write_text(
        'import { createElement } from "react";\n'
        'import { renderToString } from "react-dom/server";\n'
        'import { LiveViewerBadge } from "live-viewer-badge/react";\n'
        'import { PresenceSession } from "live-viewer-badge/session";\n'
        'if (typeof PresenceSession !== "function") throw new Error("no session");\n'
        'const badge = createElement(LiveViewerBadge, { courseId: "c1", showAvatars: true });\n'
        "console.log(renderToString(badge));\n"
    )
    app.npm("install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error")

    done = subprocess.run(["node", "server.mjs"], cwd=app.folder, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == '<live-viewer-badge course-id="c1" show-avatars=""></live-viewer-badge>'


def page_of(service: rig.Service, course: str, digest: str) -> str:
    body = EXAMPLES["index.html"].replace(ADDRESS, service.url).replace("python-101", course)
    body = body.replace("VERSION", __version__).replace("HASH", digest)
    return f'<!doctype html><html lang="en"><title>Plain</title><body>{body}</body></html>'


def test_a_plain_page(
    tarball: Path,
    service: rig.Service,
    others: Others,
    site: Site,
    course: str,
    counted: Counted,
    context: BrowserContext,
    complaints: Complaints,
) -> None:
    """By import map, held to the hash of the package's file: the service serves the very same one."""
    shutil.unpack_archive(tarball, tarball.parent)
    file = (tarball.parent / "package/live-viewer-badge.js").read_bytes()
    digest = b64encode(sha384(file).digest()).decode()

    page = counted(site.add(page_of(service, course, digest)), "plain")
    gone(page, others, course)

    complaints.network_may_fail = True
    page = context.new_page()
    page.goto(site.add(page_of(service, course, b64encode(sha384(b"other").digest()).decode())))
    page.wait_for_timeout(500)
    assert page.evaluate("customElements.get('live-viewer-badge') === undefined")
    complaints.heard = [text for text in complaints.heard if "integrity" not in text]
