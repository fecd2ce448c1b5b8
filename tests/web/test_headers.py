"""What every answer says, whoever gives it: not to be guessed at, and not to be kept unless it says so."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
import pytest
from starlette.routing import Route

from presence_svc.settings import Settings
from presence_svc.web.api.routes import mounted
from presence_svc.web.pages.files import routes as pages
from tests.rig import Service

KEY = "a-service-key-for-headers"
ROUTES = [*mounted(), *pages(Settings())]
PATHS = [re.sub(r"{\w+(:path)?}", "c1", route.path) for route in ROUTES if isinstance(route, Route)]
STRANGERS = [
    "/nope",
    "/demo/",
    "/v1/courses/c1/count/",
    "/static/",
    "/v1//stats",
    "/v1/courses/a%0a/count",
]
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"]
ORIGIN = "https://a.example"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    env = {
        "PRESENCE_AUTH": "jwt",
        "PRESENCE_JWT_SECRET": "s" * 32,
        "PRESENCE_SERVICE_KEYS": KEY,
        "PRESENCE_CORS_ORIGINS": ORIGIN,
        "PRESENCE_ADDRESS_BURST": "10000",
    }
    with Service(env) as made:
        yield made


@pytest.fixture
def client(service: Service) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service.url, timeout=10) as made:
        yield made


@pytest.mark.parametrize("path", [*PATHS, *STRANGERS])
def test_every_answer_is_complete(client: httpx2.Client, path: str) -> None:
    """H11: nosniff on all; no-store on errors and on all about people, with a key and without."""
    query = {"course_id": "c1"} if path in ("/v1/live", "/v1/counts") else {}
    for method in METHODS:
        for key in (None, KEY):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            body = (
                {"heartbeats": [{"course_id": "c1", "viewer_id": "u1"}]} if path == "/v1/heartbeats" else None
            )
            with client.stream(method, path, params=query, headers=headers, json=body) as reply:
                case = (method, key, reply.status_code)
                caching = reply.headers.get("cache-control", "")

            assert reply.headers.get("x-content-type-options") == "nosniff", case
            if reply.status_code >= 400 or path in ("/metrics", "/v1/heartbeats"):
                assert caching == "no-store", case
            elif path.startswith("/v1/"):
                assert caching in ("no-store", "private, no-cache", "no-store, no-transform"), case
            else:
                assert caching, case
            assert not reply.is_redirect, case


def test_an_unchanged_list_and_a_preflight_are_complete(client: httpx2.Client) -> None:
    """H11: a 304 says what its 200 has said; an answer to a browser's question is no other."""
    first = client.get("/v1/counts?course_id=c1", headers={"Authorization": f"Bearer {KEY}"})
    again = client.get(
        "/v1/counts?course_id=c1",
        headers={"Authorization": f"Bearer {KEY}", "If-None-Match": first.headers["etag"]},
    )
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    preflight = client.options("/v1/courses/c1/heartbeat", headers=asked)

    assert [reply.status_code for reply in (first, again, preflight)] == [200, 304, 200]
    for reply in (first, again, preflight):
        assert reply.headers["x-content-type-options"] == "nosniff"
    assert first.headers["cache-control"] == again.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("path", ["/demo/", "/v1/courses/c1/count/", "/v1/courses/c1/heartbeat/"])
def test_nobody_is_sent_to_the_host_that_they_name(client: httpx2.Client, path: str) -> None:
    """A slash too many is a path that we do not have, not a redirection made of the Host header."""
    reply = client.get(path, headers={"Host": "evil.example"})

    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert "evil" not in str(reply.headers) + reply.text
