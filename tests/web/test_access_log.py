"""The outer layer of every answer: nothing about people is kept, nothing secret is logged (H11, H13)."""

from __future__ import annotations

import json

import httpx2

from tests.auth.guarded import KEY, beat
from tests.auth.issuer import Issuer, bearer
from tests.rig import Service

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl"


def test_logs_are_json_lines_without_tokens_and_addresses(
    http: httpx2.Client, service: Service, issuer: Issuer
) -> None:
    """H13: an id with a line break cannot begin a line; no token, key or address is written."""
    token = issuer.token("ada")
    beat(http, "logged", token)
    http.get("/v1/courses/a%0A%7B%22level%22:%22error%22%7D/count", headers=bearer(token))
    http.get("/v1/courses/logged/count", headers=bearer(KEY))

    lines = [line for line in service.logs().splitlines() if line.startswith("{")]
    requests = [entry for entry in map(json.loads, lines) if entry["event"] == "request"]

    assert any(entry["path"].startswith("/v1/courses/a\n{") for entry in requests)
    assert all({"time", "level", "logger", "status", "ms"} <= entry.keys() for entry in requests)
    for secret in (token, token.split(".")[2], KEY, '127.0.0.1"', "address"):
        assert secret not in "\n".join(lines)


def test_a_long_path_keeps_no_part_of_a_token(http: httpx2.Client, service: Service) -> None:
    """H13: the access log cuts what it has struck out, not the other way round."""
    said = len(service.logs())
    path = "/nope/" + "a" * 283
    http.get(f"{path}/{TOKEN}")

    logged = service.logs()[said:]

    assert path in logged
    assert "eyJ" not in logged


def test_personal_data_is_never_stored_nor_sniffed(http: httpx2.Client, issuer: Issuer) -> None:
    """H11: no-store (private for lists of counts) and nosniff on everything about people, errors too."""
    headers = bearer(issuer.token("ada"))
    replies = [
        http.get("/v1/courses/c/viewers", headers=headers),
        http.get("/v1/courses/c/count", headers=headers),
        http.get("/v1/counts?course_id=c", headers=headers),
        http.post("/v1/courses/c/heartbeat", json={}, headers=headers),
        http.get("/v1/courses/c/viewers"),
    ]

    for reply in replies:
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] in ("no-store", "private, no-cache")
