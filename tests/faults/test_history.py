"""S13 with replicas that die and a Redis that stands still: each minute once and exact, gaps are told."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from zoneinfo import ZoneInfo

import pytest

from presence_svc.errors import Unavailable
from presence_svc.store.history.answers import HistoryAnswers
from presence_svc.store.history.steps import Step
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.url import connect
from tests.cluster_rig import ClusterBackend, cluster
from tests.rig import ROOT
from tests.store.history.clock import MINUTE, ShortMinutes
from tests.store.history.closer import QUICK
from tests.store.history.oracle import Minute
from tests.store.history.raw import read
from tests.store.replica import Replica

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]
COURSES = ("c1", "c2", "c3")


def closer(url: str, number: int) -> subprocess.Popen[bytes]:
    """Its clock is right, or an hour fast, or an hour slow (S3)."""
    ahead_s = (0, 3_600, -3_600)[number]
    return subprocess.Popen([sys.executable, "-m", "tests.store.history.closer", url, str(ahead_s)], cwd=ROOT)


def expected(stays: dict[tuple[str, str], list[list[int]]]) -> dict[tuple[tuple[str, str], int], Minute]:
    """Every minute of these stays: [from, to] of each course and viewer."""
    found: dict[tuple[tuple[str, str], int], Minute] = defaultdict(Minute)
    for course in COURSES:
        mine = [stay for (where, _), each in stays.items() if where == course for stay in each]
        for begin, end in mine:
            for minute in range(begin // MINUTE, (end - 1) // MINUTE + 1):
                low, high = max(begin, minute * MINUTE), min(end, (minute + 1) * MINUTE)
                one = found[(course, ""), minute]
                one.area += high - low
                one.peak = max(one.peak, sum(a <= low < b for a, b in mine))
    return dict(found)


async def test_replicas_die_and_redis_stands_still(own_server: EmbeddedServer) -> None:
    """Three sweepers, two with wrong clocks, killed at random, and Redis stopped over four minutes' ends."""
    chance = random.Random(3)
    replica = Replica(connect(own_server.url, timeout_s=10))
    replica.use(ShortMinutes(history=True, people=True, **QUICK))
    closers = [closer(own_server.url, number) for number in range(3)]
    stays: dict[tuple[str, str], list[list[int]]] = defaultdict(list)

    async def beat(course: str, viewer: str) -> None:
        done = await replica.beat(viewer, course=course)
        mine = stays[course, viewer]
        if mine and mine[-1][1] > done.as_of:
            mine[-1][1] = done.expires_at
        else:
            mine.append([done.as_of, done.expires_at])

    try:
        for step in range(60):
            await beat(chance.choice(COURSES), f"v{chance.randrange(5)}")
            await asyncio.sleep(chance.uniform(0.05, 0.4))
            if step % 6 == 3:
                victim = chance.randrange(3)
                closers[victim].kill()
                closers[victim].wait(10)
                closers[victim] = closer(own_server.url, victim)
            if step == 30:
                stopped_at = await replica.now()
                os.kill(own_server.pid, signal.SIGSTOP)
                await asyncio.sleep(4.5)
                os.kill(own_server.pid, signal.SIGCONT)
        async with asyncio.timeout(60):
            while await is_open(replica):  # noqa: ASYNC110 - Redis tells nobody that an agenda is empty
                await asyncio.sleep(0.5)
        kept = await read(replica.redis)
        answers = HistoryAnswers(replica.link, replica.settings)
        known = await answers.coverage("c1")
        begin = stopped_at // MINUTE * MINUTE + MINUTE
        steps = [Step(begin + n * MINUTE, begin + (n + 1) * MINUTE) for n in range(3)]
        told = await answers.history(known, "c1", None, "1m", steps, ZoneInfo("UTC"))
    finally:
        for one in closers:
            one.kill()
            one.wait(10)
        await replica.redis.aclose()

    assert kept.minutes == expected(stays)
    assert kept.torn == 0
    assert told.partial == [True] * 3
    assert 0 not in told.peak


async def test_slots_move_while_minutes_close() -> None:
    """S15: key by key and at once, with a sweeper that dies: every minute of every course is exact, once."""
    chance = random.Random(5)
    stays: dict[tuple[str, str], list[list[int]]] = defaultdict(list)
    with cluster(replicas=0) as servers:
        async with ClusterBackend(servers) as backend:
            replica = Replica(backend.client())
            replica.use(ShortMinutes(redis_url=servers.url, history=True, people=True, **QUICK))
            slots = [replica.keys.partition_of(course).slot for course in COURSES]
            closers = [closer(servers.url, number) for number in range(2)]
            try:
                for step in range(36):
                    mover = servers.reshard if step % 12 < 6 else servers.reshard_at_once
                    target = servers.servers[step % 3]
                    moving = asyncio.create_task(asyncio.to_thread(mover, slots[step % 3 :][:1], target))
                    await _beat(replica, stays, chance.choice(COURSES), f"v{chance.randrange(5)}")
                    await moving
                    await asyncio.sleep(chance.uniform(0.0, 0.2))
                    if step == 18:
                        closers[0].kill()
                        closers[0].wait(10)
                async with asyncio.timeout(60):
                    while await replica.agenda.courses():  # noqa: ASYNC110 - as above
                        await asyncio.sleep(0.3)
                await backend.follow()
                kept = await read(replica.redis)
            finally:
                for one in closers:
                    one.kill()
                    one.wait(10)

    assert kept.minutes == expected(stays)
    assert kept.torn == 0
    assert len(kept.closed) == len(set(kept.closed))


async def _beat(
    replica: Replica, stays: dict[tuple[str, str], list[list[int]]], course: str, viewer: str
) -> None:
    """Until it is taken, as a page does; what is answered is written down."""
    async with asyncio.timeout(30):
        while True:
            try:
                done = await replica.beat(viewer, course=course)
                break
            except Unavailable:
                await asyncio.sleep(0.05)
    mine = stays[course, viewer]
    if mine and mine[-1][1] > done.as_of:
        mine[-1][1] = done.expires_at
    else:
        mine.append([done.as_of, done.expires_at])


async def is_open(replica: Replica) -> bool:
    """Whether somebody is there, or a quarter waits for its end."""
    try:
        return bool(await replica.redis.zcard("presence:agenda:0"))
    except Unavailable:
        return True
