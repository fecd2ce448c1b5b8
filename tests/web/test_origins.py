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
