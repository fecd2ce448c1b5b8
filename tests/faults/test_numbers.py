"""Full, flushed, restarted: no reader of any kind is told a number that is too low without `warming`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from presence_svc.client import AsyncPresenceClient, PresenceClient, watch, watch_all
from presence_svc.client.failure import ClientError
from presence_svc.store.redis.embedded import EmbeddedServer
from tests.conftest import SpawnService
from tests.faults.crowd import FAST, crowd
from tests.live.eventually import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

SIZE = 30
POLL_S = 0.02
FULL_S = 5.0  # longer than leases


class Told(NamedTuple):
    """One number that somebody was told."""

    reader: str
    total: int
    warming: bool


class Readers:
    """All that a Python program can ask with, each again and again, or at each change."""

    def __init__(self, redis_url: str, url: str) -> None:
        self._redis_url, self._url = redis_url, url
        self.told: list[Told] = []
        self.is_over = False

    async def watch_one(self) -> None:
        async for count in watch(self._redis_url, "c1"):
            self.told.append(Told("watch", count.total, count.warming))

    async def watch_all(self) -> None:
        async for count in watch_all(self._redis_url):
            self.told.append(Told("watch_all", count.total, count.warming))

    async def poll(self) -> None:
        async with AsyncPresenceClient(self._url) as client:
            while True:
                try:
                    count, stats = await client.count("c1"), await client.stats()
                except ClientError:
                    await asyncio.sleep(POLL_S)
                    continue
                self.told.append(Told("async count", count.total, count.warming))
                self.told.append(Told("async stats", stats.total, stats.warming))
                await asyncio.sleep(POLL_S)

    async def poll_in_a_thread(self) -> None:
        await asyncio.to_thread(self._poll)

    def _poll(self) -> None:
        with PresenceClient(self._url) as client:
            while not self.is_over:
                try:
                    (count,), stats = client.counts(["c1"]), client.stats()
                except ClientError:
                    continue
                self.told.append(Told("sync count", count.total, count.warming))
                self.told.append(Told("sync stats", stats.total, stats.warming))

    def kinds_that_know(self) -> set[str]:
        """Who was last told the whole number, as one to be trusted."""
        last = {told.reader: told for told in self.told}
        return {reader for reader, told in last.items() if told.total == SIZE and not told.warming}


KINDS = {"watch", "watch_all", "async count", "async stats", "sync count", "sync stats"}


@asynccontextmanager
async def _reading(redis_url: str, url: str) -> AsyncIterator[Readers]:
    readers = Readers(redis_url, url)
    works = (readers.watch_one, readers.watch_all, readers.poll, readers.poll_in_a_thread)
    tasks = [asyncio.create_task(work()) for work in works]
    try:
        yield readers
    finally:
        readers.is_over = True
        for task in tasks[:-1]:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in ended[:-1]), ended
    assert ended[-1] is None, ended


async def _full(redis: Redis, server: EmbeddedServer) -> None:
    await redis.config_set("maxmemory", "1mb")
    await asyncio.sleep(FULL_S)
    await redis.config_set("maxmemory", 0)


async def _flushed(redis: Redis, server: EmbeddedServer) -> None:
    for pause_s in (0.5, 0.9, 0.0):
        await redis.flushall()
        await asyncio.sleep(pause_s)


async def _restarted(redis: Redis, server: EmbeddedServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    await asyncio.to_thread(server.start)


TROUBLES: dict[str, Callable[[Redis, EmbeddedServer], Coroutine[None, None, None]]] = {
    "full": _full,
    "flushed": _flushed,
    "restarted": _restarted,
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_nobody_is_told_a_false_number(
    own_server: EmbeddedServer, spawn_service: SpawnService, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """S11: watch, watch_all, both clients: lower numbers are `warming`, and the whole one comes back."""
    for name, value in FAST.items():
        monkeypatch.setenv(name, value)  # watchers read TTL from it, as programs beside the service do
    service = await asyncio.to_thread(spawn_service, {"PRESENCE_REDIS_URL": own_server.url, **FAST})
    async with (
        Redis.from_url(own_server.url) as redis,
        crowd([service.url], "c1", SIZE),
        _reading(own_server.url, service.url) as readers,
    ):
        await eventually("known", lambda: readers.kinds_that_know() == KINDS, within_s=30)
        readers.told.clear()
        await TROUBLES[trouble](redis, own_server)
        low = len(readers.told)
        await eventually(
            "known again", lambda: readers.kinds_that_know() == KINDS and len(readers.told) > low, within_s=30
        )
    lower = [told for told in readers.told if told.total < SIZE]
    print(f"{trouble}: {len(readers.told)} numbers told, {len(lower)} of them too low, all as warming")
    assert [told for told in lower if not told.warming] == []
