"""`/` leads somewhere, pages can be switched off, and all works below a path, stripped or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx2
import pytest

from presence_svc.errors import Misconfigured
from presence_svc.settings import load
from tests.rig import Service
from tests.server.raw import talk

Spawn = Callable[..., Service]
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module")
def below() -> Iterator[Service]:
    with Service({"PRESENCE_ROOT_PATH": "/presence/", "PRESENCE_PAGES": "demo,docs"}) as running:
        yield running


@pytest.mark.parametrize("prefix", ["", "/presence"])
def test_home_leads_to_the_pages_there_are(below: Service, prefix: str) -> None:
    """A page for browsers, JSON for others; links are relative, so that a path before them stays."""
    page = httpx2.get(f"{below.url}{prefix}/", headers=BROWSER)
    told = httpx2.get(f"{below.url}{prefix}/")

    assert page.headers["content-type"].startswith("text/html")
    assert 'href="demo"' in page.text
    assert 'href="/' not in page.text
    assert told.json()["pages"] == ["demo", "docs"]
    assert told.json()["auth"] == "trusted"
    assert all(reply.headers["vary"].startswith("Accept, Accept-Encoding") for reply in (page, told))
    for link in told.json()["links"].values():
        assert httpx2.get(f"{below.url}{prefix}/{link}").status_code == 200
    assert httpx2.get(f"{below.url}{prefix}/dashboard").status_code == 404


def test_the_path_itself_is_sent_to_its_slash(below: Service) -> None:
    """Else relative links would lead outside; without a host, which a client could have made up."""
    reply = httpx2.get(f"{below.url}/presence", headers={"host": "evil.example"})

    assert (reply.status_code, reply.headers["location"]) == (307, "/presence/")


@pytest.mark.parametrize("prefix", ["", "/presence"])
async def test_the_api_is_there_with_and_without_the_path(below: Service, prefix: str) -> None:
    """Heartbeats, counts, probes, streams and sockets."""
    async with httpx2.AsyncClient(base_url=f"{below.url}{prefix}", timeout=5) as http:
        beat = await http.post("/v1/courses/c1/heartbeat", json={"viewer_id": "ada"})
        count = await http.get("/v1/courses/c1/count")
        ready = await http.get("/readyz")
    request = f"GET {prefix}/v1/courses/c1/live HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    stream = await talk(below.port, request, patience_s=1)
    upgrade = request.replace(b"/live", b"/ws").replace(
        b"\r\n\r\n",
        b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    )
    socket = await talk(below.port, upgrade, patience_s=1)

    assert [beat.status_code, count.json()["total"], ready.status_code] == [200, 1, 200]
    assert stream.statuses == [200]
    assert b"event: count" in stream.received
    assert socket.statuses == [101]


def test_what_only_begins_alike_is_another_path(below: Service) -> None:
    """The path is a path, not a prefix of letters."""
    assert httpx2.get(f"{below.url}/presences/readyz").status_code == 404
    assert httpx2.get(f"{below.url}/presence/presence/readyz").status_code == 404


def test_pages_can_be_switched_off(spawn_service: Spawn) -> None:
    """Then there is nothing to look at; the badge and the API stay."""
    service = spawn_service({"PRESENCE_PAGES": "none"})
    gone = ("/", "/demo", "/dashboard", "/docs", "/static/pages/base.css")
    kept = ("/live-viewer-badge.js", "/openapi.json", "/readyz")

    assert {httpx2.get(f"{service.url}{path}", headers=BROWSER).status_code for path in gone} == {404}
    assert {httpx2.get(f"{service.url}{path}").status_code for path in kept} == {200}
    assert "/demo" not in service.logs()


def test_pages_are_told_that_a_token_is_needed(spawn_service: Spawn) -> None:
    """They say so, instead of zeros."""
    env = {"PRESENCE_AUTH": "jwt", "PRESENCE_JWT_SECRET": "s" * 32, "PRESENCE_JWT_AUDIENCE": "presence"}
    told = httpx2.get(f"{spawn_service(env).url}/").json()

    assert (told["auth"], told["anonymous_viewers"], told["counts_without_token"]) == ("jwt", False, False)


@pytest.mark.parametrize(
    ("said", "pages"),
    [
        ("none", ()),
        ("off", ()),
        ("false", ()),
        ("all", ("demo", "dashboard", "docs")),
        ("docs, Demo", ("docs", "demo")),
    ],
)
def test_pages_are_named(monkeypatch: pytest.MonkeyPatch, said: str, pages: tuple[str, ...]) -> None:
    """Or none, in any of the words that people use for it."""
    monkeypatch.setenv("PRESENCE_PAGES", said)

    assert load().pages == pages


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAGES", "demos"),
        ("PAGES", "demo,none"),
        ("ROOT_PATH", "presence"),
        ("ROOT_PATH", "https://example.org/presence"),
        ("ROOT_PATH", "/a//b"),
        ("ROOT_PATH", "/a/../b"),
        ("ROOT_PATH", "/a?b"),
    ],
)
def test_what_is_no_page_and_no_path_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """At start."""
    monkeypatch.setenv(f"PRESENCE_{name}", value)
    with pytest.raises(Misconfigured, match=f"PRESENCE_{name}"):
        load()
