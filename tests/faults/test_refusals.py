"""A Redis that is there and takes no writes, for each reason that there is: a line, a counter, not ready."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager
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

Refuse = Callable[[Redis, EmbeddedServer], Coroutine[None, None, None]]


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
    """A snapshot cannot be written, since something stands in its place that is no file."""
    (Path(server.url.removeprefix("unix://")).parent / "no-file.rdb").mkdir()
    await redis.config_set("dbfilename", "no-file.rdb")
    await redis.config_set("save", "900 1000000")
    await redis.bgsave()

    async def has_failed() -> bool:
        return bool((await redis.info("persistence"))["rdb_last_bgsave_status"] == "err")

    await eventually("the snapshot has failed", has_failed, within_s=15)


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


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends after the services, which must not wait for a Redis that is gone."""
    with ExitStack() as made:
        yield made


@pytest.mark.parametrize("code", STATES)
async def test_one_line_a_state(stack: ExitStack, spawn_service: SpawnService, code: str) -> None:
    """Under sixty viewers and ten streams: a line, a counter, 503 on /readyz; then all is as it was."""
    refuse, allow = STATES[code]
    server = stack.enter_context(EmbeddedServer(options=("--enable-protected-configs", "yes")))
    service = spawn_service({"PRESENCE_REDIS_URL": server.url, **FAST})
    async with (
        Redis.from_url(server.url) as redis,
        crowd([service.url], "c1", SIZE, interval_s=0.3) as log,
        _listeners(service, 10),
    ):
        await eventually("served", lambda: log.statuses()[200] > SIZE)
        said = len(service.logs().splitlines())
        await refuse(redis, server)
        await asyncio.sleep(0.2)
        began = asyncio.get_running_loop().time()
        ready = []
        while asyncio.get_running_loop().time() - began < STATE_S:
            ready.append(await asyncio.to_thread(service.get_status, "/readyz"))
            await asyncio.sleep(0.1)
        refused = log.statuses(began)
        counted = await _counted(service, code)
        meanwhile = service.logs().splitlines()[said:]
        await allow(redis, server)
        await eventually("ready", lambda: service.get_status("/readyz") == 200, within_s=10)
        settled = asyncio.get_running_loop().time()
        await eventually("served again", lambda: log.statuses(settled)[200] > SIZE, within_s=10)
        lines = service.logs().splitlines()[said:]

    print(f"{code}: {sum(refused.values())} heartbeats refused, {counted:.0f} by Redis", *lines, sep="\n")
    assert set(ready) == {503}
    assert set(refused) <= {503}
    assert set(log.statuses(settled)) == {200}
    assert counted >= 1
    assert len(lines) <= LINES
    told = [line for line in meanwhile if '"presence.redis"' in line and f": {code}" in line]
    assert 1 <= len(told) <= 2, told  # what is lost, and that no new connection is let in either
    assert "Traceback" not in service.logs()
