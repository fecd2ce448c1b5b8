"""A Redis that lets few clients in, as small plans do: fewer than the pool, from the start on, in bursts."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections import Counter
from contextlib import AsyncExitStack

import httpx2
import pytest
from redis.asyncio import Redis

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.conftest import SpawnService
from tests.faults.crowd import FAST, crowd
from tests.live.eventually import eventually
from tests.live.sse import Events
from tests.rig import ROOT

pytestmark = [pytest.mark.faults, pytest.mark.timeout(90)]

POOL, SIZE = 32, 40
PATHS = ("/v1/courses/c1/viewers?limit=5", "/readyz", "/v1/courses/c1/count", "/v1/stats")


async def _burst(url: str, many: int) -> Counter[int]:
    """Rosters, counts, probes and totals at one moment."""
    async with httpx2.AsyncClient(timeout=10, limits=httpx2.Limits(max_connections=many)) as client:
        replies = await asyncio.gather(*(client.get(f"{url}{PATHS[n % len(PATHS)]}") for n in range(many)))
    return Counter(reply.status_code for reply in replies)


async def _doctor(url: str) -> str:
    env = {**os.environ, "PRESENCE_REDIS_URL": url, "PRESENCE_REDIS_POOL": str(POOL)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "presence_svc", "doctor", cwd=ROOT, env=env, stdout=PIPE, stderr=STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 1
    return said.decode()


@pytest.mark.parametrize("allowed", [10, 20, 30])
async def test_a_pool_beyond_what_is_allowed(
    own_server: EmbeddedServer, spawn_service: SpawnService, allowed: int
) -> None:
    """Log and doctor say so; bursts are served by what is open, also when others take all that is left."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis.from_url(own_server.url, max_connections=1))
        await redis.config_set("maxclients", allowed)
        env = {"PRESENCE_REDIS_URL": own_server.url, "PRESENCE_REDIS_POOL": str(POOL), **FAST}
        service = await asyncio.to_thread(spawn_service, env)
        told = await _doctor(own_server.url)
        log = await stack.enter_async_context(crowd([service.url], "c1", SIZE))
        events = await stack.enter_async_context(Events(service.url, "/v1/courses/c1/live"))
        await events.until(SIZE)
        bursts = sum([await _burst(service.url, 200) for _ in range(3)], Counter())
        streams = [Events(service.url, f"/v1/courses/c{n}/live?viewers=5") for n in range(50)]
        for stream in streams:
            await stack.enter_async_context(stream)
        await asyncio.gather(*(stream.count() for stream in streams))
        others = await _others(own_server.url, stack)
        filled = asyncio.get_running_loop().time()
        bursts += await _burst(service.url, 200)
        await eventually("served", lambda: log.statuses(filled)[200] > 2 * SIZE, within_s=10)
        for other in others:
            await other.aclose()
        await eventually("ready", lambda: service.get_status("/readyz") == 200)

    print(f"{allowed} clients: {dict(bursts)}, {len(others)} others had room, heartbeats {log.statuses()}")
    assert set(bursts) == {200}
    assert set(log.statuses()) == {200}
    assert f"accepts at most {allowed} clients" in service.logs()
    assert "redis is away" not in service.logs()
    assert f"wrong connections: {allowed} allowed" in told
    assert "set PRESENCE_REDIS_POOL to" in told


async def _others(url: str, stack: AsyncExitStack) -> list[Redis]:
    """Clients of somebody else's who take all the room that is left."""
    found: list[Redis] = []
    for _ in range(40):
        other = await stack.enter_async_context(Redis.from_url(url, max_connections=1))
        try:
            await other.ping()
        except Exception:
            break
        found.append(other)
    return found
