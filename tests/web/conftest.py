"""Two replicas with short leases on one Redis, for what ends by itself; and a service that wants tokens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.auth.guarded import http, issuer, service
from tests.rig import VALKEY, Service, real_server

__all__ = ["http", "issuer", "service"]

FAST = {
    "PRESENCE_TTL": "1.2",
    "PRESENCE_HIDDEN_TTL": "2.4",
    "PRESENCE_HEARTBEAT_INTERVAL": "0.5",
    "PRESENCE_LEAVE_GRACE": "0.3",
    "PRESENCE_SWEEP_INTERVAL": "0.3",
}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with real_server(VALKEY) as made:
        yield made


@pytest.fixture(scope="module")
def pair(server: EmbeddedServer) -> Iterator[tuple[Service, Service]]:
    """Two replicas on one Redis, with leases of 1.2 s."""
    env = {"PRESENCE_REDIS_URL": server.url, **FAST}
    with Service(env) as one, Service(env) as other:
        yield one, other


@pytest.fixture
def one(pair: tuple[Service, Service]) -> Service:
    return pair[0]


@pytest.fixture
def other(pair: tuple[Service, Service]) -> Service:
    return pair[1]
