"""A Redis that is there and takes no writes, for each reason that there is: one line, a counter, not ready."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from redis.asyncio import Redis

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.conftest import SpawnService
from tests.faults.crowd import FAST, crowd
from tests.live.eventually import eventually
from tests.live.sse import Events
from tests.rig import Service

pytestmark = [pytest.mark.faults, pytest.mark.timeout(90)]

SIZE = 60
STATE_S = 3.0
LINES = 6  # of a state, its end among them: what is away, the subscription, readiness

Refuse = Callable[[Redis, EmbeddedServer], object]


async def _demote(redis: Redis, server: EmbeddedServer) -> None:
    await redis.replicaof("127.0.0.1", 1)


async def _demote_silently(redis: Redis, server: EmbeddedServer) -> None:
    await redis.config_set("replica-serve-stale-data", "no")
    await redis.replicaof("127.0.0.1", 1)


async def _promote(redis: Redis, server: EmbeddedServer) -> None:
    await redis.replicaof("NO", "ONE")


async def _fill(redis: Redis, server: EmbeddedServer) -> None:
    await redis.config_set("maxmemory", "1mb")


async def _empty(redis: Redis, server: EmbeddedServer) -> None:
    await redis.config_set("maxmemory", 0)


async def _want_replicas(redis: Redis, server: EmbeddedServer) -> None:
    await redis.config_set("min-replicas-to-write", 1)


async def _want_none(redis: Redis, server: EmbeddedServer) -> None:
    await redis.config_set("min-replicas-to-write", 0)


async def _lose_the_disk(redis: Redis, server: EmbeddedServer) -> None:
    folder = Path(server.url.removeprefix("unix://")).parent / "disk"
    folder.mkdir()
    await redis.config_set("dir", str(folder))
    shutil.rmtree(folder)
    await redis.config_set("save", "900 1000000")
    await redis.bgsave()

    async def has_failed() -> bool:
        return (await redis.info("persistence"))["rdb_last_bgsave_status"] == "err"

    await eventually("the snapshot has failed", has_failed)


async def _need_no_disk(redis: Redis, server: EmbeddedServer) -> None:
    await redis.config_set("stop-writes-on-bgsave-error", "no")


STATES: dict[str, tuple[Refuse, Refuse]] = {
    "READONLY": (_demote, _promote),
    "MASTERDOWN": (_demote_silently, _promote),
    "OOM": (_fill, _empty),
    "NOREPLICAS": (_want_replicas, _want_none),
    "MISCONF": (_lose_the_disk, _need_no_disk),
}


@asynccontextmanager
async def _listeners(service: Service, many: int) -> AsyncIterator[None]:
    """Streams that are open, and whose readers read."""
    streams = [Events(service.url, f"/v1/courses/c{n}/live?viewers=3") for n in range(many)]
    reading = [asyncio.create_task(_read(stream)) for stream in streams]
    try:
        yield
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def _read(stream: Events) -> None:
    async with stream:
        while not stream.ended:
            await stream.next(within_s=60)


async def _counted(service: Service, code: str) -> float:
    async with httpx2.AsyncClient(timeout=5) as client:
        text = (await client.get(f"{service.url}/metrics")).text
    found = re.search(rf'presence_redis_errors_total{{code="{code}"}} (\S+)', text)
    return float(found[1]) if found else 0


@pytest.mark.parametrize("code", STATES)
async def test_one_line_a_state(own_server: EmbeddedServer, spawn_service: SpawnService, code: str) -> None:
    """Sixty viewers and ten streams meanwhile: a line for each state, a counter, 503 on /readyz, then all as before."""
    refuse, allow = STATES[code]
    service = spawn_service({"PRESENCE_REDIS_URL": own_server.url, **FAST})
    async with (
        Redis.from_url(own_server.url) as redis,
        crowd([service.url], "c1", SIZE, interval_s=0.3) as log,
        _listeners(service, 10),
    ):
        await eventually("served", lambda: log.statuses()[200] > SIZE)
        said = len(service.logs().splitlines())
        await refuse(redis, own_server)
        await asyncio.sleep(0.2)
        began = asyncio.get_running_loop().time()
        ready = []
        while asyncio.get_running_loop().time() - began < STATE_S:
            ready.append(await asyncio.to_thread(service.get_status, "/readyz"))
            await asyncio.sleep(0.1)
        refused = log.statuses(began)
        counted = await _counted(service, code)
        meanwhile = service.logs().splitlines()[said:]
        await allow(redis, own_server)
        await eventually("ready", lambda: service.get_status("/readyz") == 200, within_s=10)
        settled = asyncio.get_running_loop().time()
        await eventually("served again", lambda: log.statuses(settled)[200] > SIZE, within_s=10)
        lines = service.logs().splitlines()[said:]

    print(code, refused, counted, set(ready), *meanwhile, "--", *lines[len(meanwhile) :], sep="\n")
    assert set(ready) == {503}
    assert set(refused) <= {503}
    assert set(log.statuses(settled)) == {200}
    assert counted >= 1
    assert len(lines) <= LINES
    assert sum(code in json.loads(line)["event"] for line in meanwhile) == 1
    assert "Traceback" not in service.logs()
