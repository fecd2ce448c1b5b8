"""Fixtures of the client room: a service to call, and either client behind one face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, cast

import httpx2
import pytest
from redis import Redis

from presence_svc.client import AsyncPresenceClient, PresenceClient
from tests import rig

KEY = "a-service-key-of-some-length-0123456789"
SECRET = "s" * 64
QUARTER = 900_000
Answer = Callable[[httpx2.Request], httpx2.Response]


class Caller:
    """A client of either kind. `do` makes a call by its name, `all` goes through an iterator."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._stack = AsyncExitStack()
        self._client: PresenceClient | AsyncPresenceClient | None = None

    def at(self, base_url: str, **options: Any) -> Caller:
        """Ready to call this address."""
        kind = PresenceClient if self.kind == "sync" else AsyncPresenceClient
        client = kind(base_url, **options)
        self._client = client
        return self

    def mocked(self, answer: Answer, **options: Any) -> Caller:
        """Ready to call a service that answers like this."""
        return self.at("http://presence.test", transport=httpx2.MockTransport(answer), **options)

    async def do(self, name: str, /, *args: Any, **named: Any) -> Any:
        made = getattr(self._client, name)
        if self.kind == "sync":
            return await asyncio.to_thread(made, *args, **named)
        return await made(*args, **named)

    async def all(self, name: str, /, *args: Any, **named: Any) -> list[Any]:
        found = getattr(self._client, name)(*args, **named)
        if self.kind == "sync":
            return await asyncio.to_thread(list, found)
        return [one async for one in found]

    async def aclose(self) -> None:
        if isinstance(self._client, PresenceClient):
            self._client.close()
        elif self._client is not None:
            await self._client.close()


@pytest.fixture(params=["sync", "async"])
async def caller(request: pytest.FixtureRequest) -> AsyncIterator[Caller]:
    """One test for each client."""
    made = Caller(cast(str, request.param))
    yield made
    await made.aclose()


@pytest.fixture(scope="session")
def service() -> Iterator[rig.Service]:
    """The service with tokens and a service's key; courses keep the tests apart."""
    with rig.real_server(rig.VALKEY) as redis:
        env = {
            "PRESENCE_REDIS_URL": redis.url,
            "PRESENCE_AUTH": "jwt",
            "PRESENCE_JWT_SECRET": SECRET,
            "PRESENCE_SERVICE_KEYS": KEY,
            "PRESENCE_PUBLIC_COUNTS": "false",
        }
        with rig.Service(env) as running:
            yield running


@pytest.fixture
def closing_redis(redis_url: str) -> Iterator[Redis]:
    """An empty Redis, to write closed quarters into."""
    with Redis.from_url(redis_url) as redis:
        yield redis


@pytest.fixture
def closed(closing_redis: Redis) -> int:
    """Three quarters have been closed, one of them with a chapter. The first of them."""
    now = int(closing_redis.time()[0]) * 1_000 // QUARTER
    closing_redis.hset("presence:heard:0", "first", str((now - 1_000) * QUARTER))
    closing_redis.hset("presence:heard:0", "last", str((now + 1) * QUARTER))
    closing_redis.hset("presence:{exported}:numbers", "ch-1", "1")
    for quarter, value in ((now - 9, "5 4500000"), (now - 8, "2 900000!"), (now - 7, "7 6300000")):
        closing_redis.hset(f"presence:{{exported}}:quarters:{quarter // 96}", str(quarter % 96), value)
        closing_redis.append(f"presence:closed:{quarter + 1}", f"exported {quarter} 300\n")
    quarter = now - 8
    closing_redis.hset(f"presence:{{exported}}:quarters:{quarter // 96}", f"{quarter % 96}.1", "1 450000")
    return now - 9


@pytest.fixture
def export_service(spawn_service: Callable[..., rig.Service], redis_url: str) -> rig.Service:
    """A service on that Redis, with the key."""
    env = {"PRESENCE_AUTH": "jwt", "PRESENCE_JWT_SECRET": SECRET, "PRESENCE_SERVICE_KEYS": KEY}
    return spawn_service({"PRESENCE_REDIS_URL": redis_url, **env})


@pytest.fixture
def course(request: pytest.FixtureRequest) -> str:
    """A course of the test's own."""
    return "c-" + "".join(char if char.isalnum() else "-" for char in request.node.name)[-90:]
