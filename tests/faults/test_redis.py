"""Redis hung, dead, emptied, flushed, full, cut off: what clients see, and that all comes right."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from time import monotonic

import pytest
from redis.asyncio import Redis

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.conftest import SpawnService
from tests.faults.crowd import FAST, TTL_S, count, crowd
from tests.live.eventually import eventually
from tests.live.proxy import Proxy
from tests.live.sse import Events
from tests.rig import Service, free_port

pytestmark = [pytest.mark.faults, pytest.mark.timeout(90)]
SIZE = 60
ANSWERED_S = 0.5
BUSY_S = 0.5  # what a busy machine may add to any bound


async def _is(url: str, course: str, total: int) -> bool:
    return (await count(url, course)).get("total") == total


def _rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _calm(service: Service) -> None:
    """I6: no exception that nobody handled."""
    assert "Traceback" not in service.logs(), service.logs()[-3_000:]


async def test_hung_redis(own_server: EmbeddedServer, spawn_service: SpawnService) -> None:
    """R3: SIGSTOP for 6 s under load: every answer within its deadline, memory flat, back within 2 s."""
    service = spawn_service({"PRESENCE_REDIS_URL": own_server.url, **FAST})
    async with crowd([service.url], "c1", SIZE) as log:
        await eventually("all there", lambda: _is(service.url, "c1", SIZE))
        before_mb = _rss_mb(service.pid)
        os.kill(own_server.pid, signal.SIGSTOP)
        stopped = monotonic()
        try:
            await asyncio.sleep(6)
            alive = await asyncio.to_thread(service.get_status, "/livez")
        finally:
            os.kill(own_server.pid, signal.SIGCONT)
        continued = monotonic()
        await eventually("back", lambda: _is(service.url, "c1", SIZE), within_s=2 + TTL_S)
        during = [answer for answer in log.since(stopped) if answer.at < continued]
        after = log.since(continued + 2)
        grown_mb = _rss_mb(service.pid) - before_mb

    slowest = max(answer.took_s for answer in during)
    print(f"hung: {len(during)} answers, slowest {slowest * 1000:.0f} ms, RSS +{grown_mb:.1f} MB")
    assert alive == 200
    assert {answer.status for answer in during} == {503}
    assert slowest < ANSWERED_S + BUSY_S
    assert grown_mb < 20
    assert all(answer.status == 200 for answer in after)
    _calm(service)


async def test_emptied_redis(own_server: EmbeddedServer, spawn_service: SpawnService) -> None:
    """R1, S11: kill -9, empty restart: a low number says `warming`; exact within an interval and 2 s."""
    service = spawn_service({"PRESENCE_REDIS_URL": own_server.url, **FAST})
    async with crowd([service.url], "c1", SIZE), Events(service.url, "/v1/courses/c1/live") as events:
        await events.until(SIZE)
        await eventually("warm", lambda: _is_warm(service.url))
        reading = asyncio.create_task(_read_on(events))
        os.kill(own_server.pid, signal.SIGKILL)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(own_server.start)
        restarted = monotonic()
        await eventually("exact again", lambda: _is(service.url, "c1", SIZE), within_s=5)
        took_s = monotonic() - restarted
        await eventually("the stream too", lambda: events.seen[-1][1].get("total") == SIZE)
        await asyncio.sleep(0.3)
        reading.cancel()

    counts = [data for event, data in events.seen if event == "count"]
    low = [data for data in counts[counts.index(_first_full(counts)) :] if data["total"] < SIZE]
    versions = [data["version"] for data in counts]
    print(f"emptied: exact after {took_s:.2f} s, {len(low)} low numbers, all marked as warming")
    assert all(data["warming"] for data in low)
    assert versions == sorted(versions)
    _calm(service)


def _first_full(counts: list[dict[str, object]]) -> dict[str, object]:
    return next(data for data in counts if data["total"] == SIZE)


async def _is_warm(url: str) -> bool:
    return (await count(url, "c1")).get("warming") is False


async def _read_on(events: Events) -> None:
    while not events.ended:
        await events.next(within_s=60)


async def test_cut_subscriptions(own_server: EmbeddedServer, spawn_service: SpawnService) -> None:
    """R9: subscriptions are killed all the time during 1,000 joins: right within 2 s of quiet."""
    service = spawn_service({"PRESENCE_REDIS_URL": own_server.url})
    async with Redis.from_url(own_server.url) as redis, Events(service.url, "/v1/courses/c1/live") as events:
        await events.until(0)
        reading = asyncio.create_task(_read_on(events))
        writer = spawn_service({"PRESENCE_REDIS_URL": own_server.url})
        async with crowd([writer.url], "c1", 1_000, interval_s=10) as log:
            for _ in range(40):
                await redis.client_kill_filter(_type="pubsub")
                await asyncio.sleep(0.25)
            await eventually("all said", lambda: log.statuses()[200] >= 1_000, within_s=20)
        quiet = monotonic()
        await eventually("the truth", lambda: events.seen[-1][1].get("total") == 1_000, within_s=2 + BUSY_S)
        print(f"cut: converged {monotonic() - quiet:.2f} s after quiet")
        reading.cancel()
    _calm(service)


async def test_one_way_black_hole(own_server: EmbeddedServer, spawn_service: SpawnService) -> None:
    """R10: replies vanish, connections stay: noticed within 12 s, and the stream is right afterwards."""
    async with Proxy(own_server.url) as proxy:
        service = await asyncio.to_thread(spawn_service, {"PRESENCE_REDIS_URL": proxy.url})
        writer = await asyncio.to_thread(spawn_service, {"PRESENCE_REDIS_URL": own_server.url})
        async with Events(service.url, "/v1/courses/c1/live") as events:
            await events.until(0)
            proxy.swallow_replies = True
            began = monotonic()
            async with crowd([writer.url], "c1", 1, interval_s=20):
                await eventually(
                    "noticed", lambda: "subscription lost" in service.logs(), within_s=12, every_s=0.1
                )
                deaf_s = monotonic() - began
                proxy.swallow_replies = False
                await events.until(1, within_s=12)
    print(f"black hole: deaf for {deaf_s:.1f} s")
    _calm(service)


async def test_script_flush_storm(own_server: EmbeddedServer, spawn_service: SpawnService) -> None:
    """R6: SCRIPT FLUSH every 50 ms under load: no client sees an error, no viewer is lost."""
    service = spawn_service({"PRESENCE_REDIS_URL": own_server.url, **FAST})
    async with Redis.from_url(own_server.url) as redis, crowd([service.url], "c1", SIZE) as log:
        for _ in range(80):
            await redis.script_flush()
            await asyncio.sleep(0.05)
        total = (await count(service.url, "c1"))["total"]
        statuses = log.statuses()

    print(f"flushed: {statuses[200]} heartbeats, p99 {log.p99_ms()} ms")
    assert set(statuses) == {200}
    assert total == SIZE
    _calm(service)


async def test_full_redis(own_server: EmbeddedServer, spawn_service: SpawnService) -> None:
    """R8: maxmemory: heartbeats 503, leaves and expiries go on, all heals when there is room."""
    service = spawn_service({"PRESENCE_REDIS_URL": own_server.url, **FAST})
    async with (
        Redis.from_url(own_server.url) as redis,
        Events(service.url, "/v1/courses/c1/live") as events,
        crowd([service.url], "c1", SIZE) as log,
    ):
        await events.until(SIZE)
        await redis.config_set("maxmemory", "1mb")
        full = monotonic()
        await events.until(0, within_s=TTL_S + 2)
        refused = log.statuses(full)
        ready = await asyncio.to_thread(service.get_status, "/readyz")
        await redis.config_set("maxmemory", 0)
        await events.until(SIZE, within_s=5)

    said = [line for line in service.logs().splitlines() if "presence.redis" in line]
    assert set(refused) == {503}
    assert ready == 503
    assert len(said) <= 4, said  # a line for each state, not for each heartbeat
    _calm(service)


async def test_failover_behind_one_address(own_server: EmbeddedServer, spawn_service: SpawnService) -> None:
    """READONLY for ever on connections that stay open: they are left, heartbeats are taken within 3 s.

    Meanwhile 503, also on /readyz, and a line in the log for each state.
    """
    port = free_port()
    with EmbeddedServer(options=("--port", str(port), "--bind", "127.0.0.1")) as new:
        async with Proxy(own_server.url) as proxy, Redis.from_url(own_server.url) as old:
            service = await asyncio.to_thread(spawn_service, {"PRESENCE_REDIS_URL": proxy.url, **FAST})
            async with crowd([service.url], "c1", SIZE) as log:
                await eventually("all there", lambda: _is(service.url, "c1", SIZE))
                said = len(service.logs().splitlines())
                await old.replicaof("127.0.0.1", port)
                await eventually("refused", lambda: log.answers[-1].status == 503)
                not_ready = await asyncio.to_thread(service.get_status, "/readyz")
                await asyncio.sleep(1)
                not_ready_yet = await asyncio.to_thread(service.get_status, "/readyz")
                proxy.lead_to(new.url)  # an address has moved: connections that are open stay where they are
                moved = monotonic()
                await eventually("taken again", lambda: log.statuses(moved + 0.1)[200])
                took_s = monotonic() - moved
                await eventually("all there", lambda: _is(service.url, "c1", SIZE), within_s=5)
                settled = monotonic()
                await asyncio.sleep(1)
                ready = await asyncio.to_thread(service.get_status, "/readyz")
                told = [line for line in service.logs().splitlines()[said:] if "presence.redis" in line]
    print(f"failover: first heartbeat taken after {took_s:.2f} s")
    assert took_s < 3 + BUSY_S
    assert (not_ready, not_ready_yet, ready) == (503, 503, 200)
    assert len(told) == 2, told
    assert set(log.statuses(settled)) == {200}
    _calm(service)


async def test_flushed_redis(own_server: EmbeddedServer, spawn_service: SpawnService) -> None:
    """S11: FLUSHALL under watch: no number below the crowd's is ever told without `warming`."""
    service = spawn_service({"PRESENCE_REDIS_URL": own_server.url, **FAST})
    async with (
        Redis.from_url(own_server.url) as redis,
        crowd([service.url], "c1", SIZE),
        Events(service.url, "/v1/courses/c1/live") as events,
    ):
        await events.until(SIZE)
        await eventually("warm", lambda: _is_warm(service.url))
        reading = asyncio.create_task(_read_on(events))
        begun = len(events.seen)
        for _ in range(3):
            await redis.flushall()
            await eventually("exact again", lambda: _is(service.url, "c1", SIZE), within_s=5)
            await eventually("warm", lambda: _is_warm(service.url), within_s=10)
        reading.cancel()

    counts = [data for event, data in events.seen[begun:] if event == "count"]
    assert [data for data in counts if data["total"] < SIZE and not data["warming"]] == []
    _calm(service)
