"""A service that asks for tokens, for tests of what it lets whom do: fixtures for conftest.py, and calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.auth.issuer import Issuer, bearer
from tests.rig import Service

KEY = "a-service-key-for-security"
SESSION = "session-0123456789abcdef"
ORIGIN = "https://player.example"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def service(issuer: Issuer) -> Iterator[Service]:
    """Anonymous viewers, pseudonyms, one origin, a full access log."""
    env = {
        "PRESENCE_SERVICE_KEYS": KEY,
        "PRESENCE_ALLOW_ANONYMOUS": "true",
        "PRESENCE_PSEUDONYMS": "true",
        "PRESENCE_CORS_ORIGINS": ORIGIN,
        "PRESENCE_ACCESS_LOG": "1",
        "PRESENCE_ADDRESS_BURST": "10000",
    }
    with Service(issuer.env | env) as running:
        yield running


@pytest.fixture
def http(service: Service) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service.url, timeout=5) as client:
        yield client


def beat(http: httpx2.Client, course: str, token: str | None, **said: Any) -> httpx2.Response:
    headers = bearer(token) if token else {}
    return http.post(f"/v1/courses/{course}/heartbeat", json=said, headers=headers)


def leave(http: httpx2.Client, course: str, content: dict[str, Any], **headers: str) -> int:
    """As a beacon sends it."""
    return http.post(
        f"/v1/courses/{course}/leave",
        content=json.dumps(content),
        headers={"content-type": "text/plain;charset=UTF-8", **headers},
    ).status_code


def count(http: httpx2.Client, course: str) -> dict[str, Any]:
    counted: dict[str, Any] = http.get(f"/v1/courses/{course}/count", headers=bearer(KEY)).json()
    return counted


def roster(http: httpx2.Client, course: str, token: str) -> list[dict[str, Any]]:
    reply = http.get(f"/v1/courses/{course}/viewers", headers=bearer(token))
    viewers: list[dict[str, Any]] = reply.json()["viewers"]
    return viewers
