"""The outer layer of every answer: nothing about people is kept, nothing secret is logged (H11, H13)."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import httpx2
import pytest

from tests.auth.guarded import KEY, beat
from tests.auth.issuer import Issuer, bearer
from tests.rig import Service, wait_until


@pytest.fixture(scope="module")
def addressed() -> Iterator[Service]:
    """Writes addresses to the log."""
    with Service(
        {
            "PRESENCE_ACCESS_LOG": "1",
            "PRESENCE_LOG_ADDRESSES": "true",
            "PRESENCE_AUTH": "jwt",
            "PRESENCE_JWT_SECRET": "s" * 32,
            "PRESENCE_PUBLIC_COUNTS": "true",
        }
    ) as made:
        yield made


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


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (["203.0.113.7:41234"], "203.0.113.7"),
        (["[2001:db8::7]:41234"], "2001:db8::7"),
        (["203.0.113.7, 127.0.0.1"], "203.0.113.7"),
        (["203.0.113.7", "127.0.0.1"], "203.0.113.7"),
        (["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
    ],
)
def test_the_address_is_the_clients(addressed: Service, lines: list[str], address: str) -> None:
    """H3: proxies write ports (Azure), or a line each: rates go by the nearest address that is no proxy's."""
    path = f"/v1/courses/{len(addressed.logs())}/count"
    head = "".join(f"x-forwarded-for: {line}\r\n" for line in lines)
    with socket.create_connection(("127.0.0.1", addressed.port)) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200")

    wait_until(lambda: path in addressed.logs())
    (entry,) = [json.loads(line) for line in addressed.logs().splitlines() if path in line]
    assert entry["address"] == address
