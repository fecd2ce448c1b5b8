"""The files that browsers load: types, caching, compression, origins and policies."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from presence_svc import __version__
from presence_svc.settings import Settings
from presence_svc.web.pages import files as pages
from tests.rig import ROOT

STATIC = ROOT / "presence_svc/web/pages/static"
BADGE = ROOT / "presence_svc/badge"
PLAIN = {"accept-encoding": "identity"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(Starlette(routes=pages.routes(Settings()))) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/live-viewer-badge.js", "text/javascript; charset=utf-8"),
        ("/live-viewer-badge-react.js", "text/javascript; charset=utf-8"),
        ("/live-viewer-badge.d.ts", "text/typescript; charset=utf-8"),
        ("/custom-elements.json", "application/json"),
        ("/static/pages/base.css", "text/css; charset=utf-8"),
        ("/static/pages/icon.svg", "image/svg+xml"),
        ("/demo", "text/html; charset=utf-8"),
    ],
)
def test_types_are_said_and_not_guessed(client: TestClient, path: str, media_type: str) -> None:
    """Each file has its own type, and browsers are told to believe it."""
    reply = client.get(path)

    assert reply.status_code == 200
    assert reply.headers["content-type"] == media_type
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", pages.MODULES)
def test_modules_may_be_used_from_any_origin(client: TestClient, name: str) -> None:
    """The badge is for pages of other origins."""
    for path in (f"/{name}", f"/@{__version__}/{name}"):
        headers = client.get(path).headers

        assert headers["access-control-allow-origin"] == "*"
        assert headers["cross-origin-resource-policy"] == "cross-origin"


def test_every_declaration_of_the_package_is_served(client: TestClient) -> None:
    """Whoever copies the modules gets their types too, and what these import from each other is there."""
    shipped = {path.name for path in BADGE.glob("*.d.ts")} - {"globals.d.ts"}  # that one is for the build

    assert shipped == {name for name in pages.MODULES if name.endswith(".d.ts")}
    for name in shipped:
        text = client.get(f"/{name}").text
        for imported in re.findall(r'(?:from|import\()\s*"\./([\w-]+)\.js"', text):
            assert client.get(f"/{imported}.d.ts").status_code == 200, (name, imported)


def test_the_plain_path_is_asked_for_again_and_the_versioned_one_never(client: TestClient) -> None:
    """A release reaches every page within minutes; who names a version gets it for a year."""
    plain = client.get("/live-viewer-badge.js").headers["cache-control"]
    versioned = client.get(f"/@{__version__}/live-viewer-badge.js").headers["cache-control"]

    assert int(re.findall(r"max-age=(\d+)", plain)[0]) <= 600
    assert "immutable" not in plain
    assert versioned == "public, max-age=31536000, immutable"
    assert client.get("/@0.0.0/live-viewer-badge.js").status_code == 404


def test_what_is_known_is_not_sent_again(client: TestClient) -> None:
    """A strong ETag: the same bytes are a 304, other bytes are not."""
    first = client.get("/live-viewer-badge.js")
    etag = first.headers["etag"]

    for condition in (etag, f'"other", {etag}', f"W/{etag}"):
        again = client.get("/live-viewer-badge.js", headers={"if-none-match": condition})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == etag
    assert not etag.startswith("W/")
    other = client.get("/live-viewer-badge.js", headers={"if-none-match": '"other"'})
    assert other.status_code == 200


def test_compression_is_for_those_who_take_it(client: TestClient) -> None:
    """Compressed and plain bytes are two representations, with two tags."""
    body = (BADGE / "live-viewer-badge.js").read_bytes()
    plain = client.get("/live-viewer-badge.js", headers=PLAIN)
    refused = client.get("/live-viewer-badge.js", headers={"accept-encoding": "gzip;q=0, br"})
    packed = client.get("/live-viewer-badge.js", headers={"accept-encoding": "br, gzip;q=0.8"})

    assert plain.content == refused.content == packed.content == body
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in refused.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < 17_000
    assert packed.headers["etag"] != plain.headers["etag"] == refused.headers["etag"]
    assert packed.headers["vary"] == "Accept-Encoding"


def test_only_files_of_ours_are_served(client: TestClient) -> None:
    """No path leads out of static/, and pages are served with their policy only."""
    for path in (
        "/static/nothing.js",
        "/static/..%2fpages.py",
        "/static//etc/passwd",
        "/static/demo.html",
        "/static/",
    ):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", pages.PAGES)
def test_pages_run_no_inline_code_and_ask_nobody_outside(client: TestClient, path: str) -> None:
    """The policy forbids inline code and other origins, and no page needs either."""
    reply = client.get(path)
    policy = dict(
        (part.strip().split(" ", 1)) for part in reply.headers["content-security-policy"].split(";")
    )

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["frame-ancestors"] == "'self'"
    assert ("unsafe" in policy["style-src"]) == (path == "/docs")
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["cache-control"] == "no-cache"
    found = Links()
    found.feed(reply.text)
    assert found.inline == []
    assert found.local
    for link in found.local:
        assert not re.match(r"/|\w+:", link), "a page may be below a path: links are relative"
        assert client.get(f"/{link}").status_code == 200, link


class Links(HTMLParser):
    """What a page loads, and what it has inline."""

    def __init__(self) -> None:
        super().__init__()
        self.local: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.local += [str(given[name]) for name in ("src", "href") if given.get(name)]
        inline = [name for name in given if name.startswith("on") or name == "style"]
        if inline or tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(f"{tag} {inline}")


def test_vendored_files_are_what_they_claim_to_be() -> None:
    """Every file under vendor/ is listed with version, licence and hash, and its licence lies beside it."""
    vendor = STATIC / "vendor"
    listed = json.loads((vendor / "VENDORED.json").read_text())
    there = {str(path.relative_to(vendor)) for path in vendor.rglob("*") if path.is_file()}

    claimed = {"VENDORED.json"}
    for folder, entry in listed.items():
        assert entry["version"]
        assert entry["licence"]
        assert "LICENSE" in entry["sha256"]
        for name, digest in entry["sha256"].items():
            assert hashlib.sha256((vendor / folder / name).read_bytes()).hexdigest() == digest
            claimed.add(f"{folder}/{name}")
    assert there == claimed


def test_every_import_of_the_pages_leads_somewhere(client: TestClient) -> None:
    """Modules of the pages import files that are served."""
    for script in (STATIC / "pages").rglob("*.js"):
        here = f"/static/{script.relative_to(STATIC).as_posix()}"
        for target in re.findall(r'^import .*?"([^"]+)";$', script.read_text(), re.MULTILINE):
            assert client.get(urljoin(here, target)).status_code == 200, f"{script.name}: {target}"


def test_modules_of_the_pages_are_short() -> None:
    """As everywhere: under 200 lines, with a heading."""
    for script in (STATIC / "pages").rglob("*.js"):
        text = script.read_text()
        assert len(text.splitlines()) < 200, script.name
        assert re.match(r"(// @ts-check\n)?/\*\*", text), script.name


def test_compressed_bytes_are_the_same_everywhere() -> None:
    """Replicas answer with the same bytes for the same tag: no clock in the gzip header."""
    asset = pages.Asset("a.js", b"x" * 1_000)

    assert asset.compressed == gzip.compress(b"x" * 1_000, 9, mtime=0)


def test_pages_run_no_foreign_script_and_stay_in_their_frame(http: httpx2.Client) -> None:
    """CSP without inline script, nosniff, no referrer, frames of our own only."""
    for page in ("/demo", "/dashboard", "/docs"):
        headers = http.get(page).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))

        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["frame-ancestors"] == "'self'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "SAMEORIGIN"
