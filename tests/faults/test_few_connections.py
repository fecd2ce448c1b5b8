"""A Redis that lets few clients in, as small plans do: fewer than the pool, from the start on, under bursts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import httpx2
import pytest
from redis.asyncio import Redis

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.conftest import SpawnService
from tests.faults.crowd import FAST, crowd
from tests.live.eventually import eventually
from tests.live.sse import Events
from tests.rig import VALKEY, Service, real_server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(90)]

SIZE = 40


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with real_server(VALKEY) as running:
        yield running


async def _burst(url: str, many: int) -> Counter[int]:
    """Rosters, counts, probes and stats at one moment."""
    paths = ("/v1/courses/c1/viewers?limit=5", "/readyz", "/v1/courses/c1/count", "/v1/stats")
    limits = httpx2.Limits(max_connections=200)
    async with httpx2.AsyncClient(timeout=10, limits=limits) as client:
        replies = await asyncio.gather(*(client.get(f"{url}{paths[n % len(paths)]}") for n in range(many)))
    return Counter(reply.status_code for reply in replies)


@pytest.mark.parametrize("allowed", [8, 12, 20, 30])
async def test_a_pool_beyond_what_is_allowed(
    own_server: EmbeddedServer, spawn_service: SpawnService, allowed: int
) -> None:
    service = None
    async with Redis.from_url(own_server.url, max_connections=1) as redis:
        await redis.config_set("maxclients", allowed)
        service = await asyncio.to_thread(
            spawn_service, {"PRESENCE_REDIS_URL": own_server.url, "PRESENCE_REDIS_POOL": "32", **FAST}
        )
        async with (
            crowd([service.url], "c1", SIZE) as log,
            Events(service.url, "/v1/courses/c1/live") as events,
        ):
            await events.until(SIZE)
            for _ in range(3):
                print(await _burst(service.url, 200))
            streams = [Events(service.url, f"/v1/courses/c{n}/live?viewers=5") for n in range(50)]
            for stream in streams:
                await stream.__aenter__()
            await asyncio.gather(*(s.count() for s in streams))
            for stream in streams:
                await stream.__aexit__()
            settled = asyncio.get_running_loop().time()
            await asyncio.sleep(2)
            print(allowed, log.statuses(), log.statuses(settled), service.get_status("/readyz"))
            assert set(log.statuses(settled)) == {200}
            clients = await redis.info("clients")
            print(clients["connected_clients"], clients["maxclients"])
    print(service.logs())
