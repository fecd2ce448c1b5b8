"""Which pages of other origins may read and write (H10)."""

from __future__ import annotations

import json

import httpx2
import pytest

from tests.auth.guarded import KEY, ORIGIN, SESSION, count
from tests.auth.issuer import Issuer, bearer
from tests.conftest import SpawnService


def test_only_the_listed_origin_is_let_in(http: httpx2.Client, issuer: Issuer) -> None:
    """CORS by exact origin, never credentials, `Vary: Origin` for both, on every path and on errors."""
    for origin, allowed in (
        (ORIGIN, ORIGIN),
        ("https://evil.example", None),
        (ORIGIN + ".evil.example", None),
    ):
        replies = [
            http.get("/v1/courses/c/count", headers={"Origin": origin, **bearer(KEY)}),
            http.get("/v1/courses/c/count", headers={"Origin": origin}),
            http.post(
                "/v1/courses/c/heartbeat", json={}, headers={"Origin": origin, **bearer(issuer.token())}
            ),
        ]
        for reply in replies:
            assert reply.headers.get("access-control-allow-origin") == allowed
            assert "Origin" in reply.headers["vary"]
            assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize(("origin", "status"), [(ORIGIN, 200), ("https://evil.example", 400)])
def test_a_preflight_is_answered_by_origin(http: httpx2.Client, origin: str, status: int) -> None:
    """A page of another origin may not send our headers."""
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }

    reply = http.options("/v1/courses/c/heartbeat", headers=asked)

    assert reply.status_code == status
    assert ("access-control-allow-origin" in reply.headers) == (status == 200)


def preflight(http: httpx2.Client, origin: str, **asked: str) -> httpx2.Response:
    """What a browser asks before a request that is not simple; `asked` are the ends of its headers' names."""
    fields = {"Access-Control-Request-Method": "GET", "Origin": origin}
    fields |= {f"Access-Control-Request-{name.replace('_', '-')}": value for name, value in asked.items()}
    return http.options("/v1/courses/c/live", headers=fields)


@pytest.mark.parametrize(
    "added",
    [
        "authorization,cache-control,last-event-id",
        "sentry-trace,baggage",
        "authorization,traceparent,tracestate",
        "x-datadog-trace-id,x-requested-with,pragma",
        "X-B3-TraceId",
    ],
)
def test_what_others_add_to_a_request_does_no_harm(http: httpx2.Client, added: str) -> None:
    """H10: readers of streams and tracing add headers; only the origin decides whether a page may ask."""
    allowed, foreign = (preflight(http, origin, Headers=added) for origin in (ORIGIN, "https://evil.example"))

    assert allowed.status_code == 200
    assert set(allowed.headers["access-control-allow-headers"].split(",")) >= set(added.split(","))
    assert foreign.status_code == 400
    assert "access-control-allow-origin" not in foreign.headers


def test_a_public_page_may_ask_a_service_inside(http: httpx2.Client) -> None:
    """H10: a school's course player is on the internet, its service is not; a listed origin is let in."""
    allowed, foreign = (
        preflight(http, origin, Private_Network="true") for origin in (ORIGIN, "https://evil.example")
    )

    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-private-network"] == "true"
    assert foreign.status_code == 400


def test_a_refused_preflight_is_a_problem(http: httpx2.Client) -> None:
    """RFC 9457 for every error: the origin, or the method, is named."""
    for origin, method in (("https://evil.example", "GET"), (ORIGIN, "PATCH")):
        reply = preflight(http, origin, Method=method)

        assert (reply.status_code, reply.json()["status"]) == (400, 400)
        assert reply.headers["content-type"] == "application/problem+json"
        assert int(reply.headers["content-length"]) == len(reply.content)
        assert ("origin" if method == "GET" else "method") in reply.json()["detail"]
        assert "Access-Control-Request-Headers" in reply.headers["vary"]


def test_the_badge_is_the_same_for_every_origin(http: httpx2.Client) -> None:
    """Some caches take no notice of Vary, and would give what was made for one origin to all others."""
    told = [
        http.get("/live-viewer-badge.js", headers=headers).headers["access-control-allow-origin"]
        for headers in ({}, {"Origin": ORIGIN}, {"Origin": "https://evil.example"})
    ]

    assert told == ["*"] * 3


def test_a_page_may_read_where_an_export_goes_on(http: httpx2.Client) -> None:
    """Of headers that are not named, scripts of another origin see nothing: cursor, ETag, reasons."""
    reply = http.get("/v1/history/export", headers={"Origin": ORIGIN, **bearer(KEY)})
    refused = http.get("/v1/courses/c/count", headers={"Origin": ORIGIN, **bearer("x.y.z")})

    exposed = {name.strip().lower() for name in reply.headers["access-control-expose-headers"].split(",")}
    assert "presence-cursor" in reply.headers
    assert "www-authenticate" in refused.headers
    assert exposed >= {"presence-cursor", "etag", "retry-after", "www-authenticate"}


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://[", "http://a]b", "evil://{host}", ORIGIN.upper()]
)
def test_a_foreign_page_writes_nothing(http: httpx2.Client, issuer: Issuer, origin: str) -> None:
    """H10: a POST without our headers asks nobody first, so that the service must look: 403, no matter how.

    Neither by a body without a type (as browsers send a Blob), nor by a beacon, with or without credentials.
    """
    origin = origin.format(host=http.base_url.netloc.decode())
    said = json.dumps({"session_id": SESSION, "viewer_id": "ada", "heartbeats": []})
    asked = [
        http.build_request("POST", f"/v1/courses/forged/{route}", content=said, headers=headers)
        for route in ("heartbeat", "leave")
        for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/json"}, bearer(KEY))
    ]
    asked.append(http.build_request("POST", "/v1/heartbeats", content=said, headers=bearer(KEY)))
    asked.append(
        http.build_request("DELETE", "/v1/courses/forged/viewers/ada", headers=bearer(issuer.token("ada")))
    )
    for request in asked:
        request.headers["Origin"] = origin
        request.headers["Sec-Fetch-Site"] = "cross-site"
        for _ in range(2):  # the second finds the path as the first has left it
            reply = http.send(request)
            assert (reply.status_code, reply.json()["title"]) == (403, "Forbidden")
            assert "access-control-allow-origin" not in reply.headers

    assert count(http, "forged")["total"] == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://{host}"},
        {"Origin": "https://behind-a-proxy.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_programs_and_our_own_pages_write(
    http: httpx2.Client, issuer: Issuer, headers: dict[str, str]
) -> None:
    """H10: no origin, a listed one, our own host, or what the browser says is one host."""
    headers = {name: value.format(host=http.base_url.netloc.decode()) for name, value in headers.items()}
    for _ in range(2):
        reply = http.post("/v1/courses/own/heartbeat", json={}, headers={**headers, **bearer(issuer.token())})
        assert reply.status_code == 200


def test_by_default_a_service_with_tokens_lets_no_origin_in(
    spawn_service: SpawnService, issuer: Issuer
) -> None:
    """CORS_ORIGINS follows AUTH: none with jwt, any in trusted mode."""
    jwt, trusted = spawn_service(issuer.env), spawn_service({})

    seen = [
        httpx2.get(f"{url}/v1/courses/c/count", headers={"Origin": ORIGIN}).headers.get(
            "access-control-allow-origin"
        )
        for url in (jwt.url, trusted.url)
    ]

    assert seen == [None, "*"]
