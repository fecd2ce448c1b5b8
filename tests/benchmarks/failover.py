"""A part of row "cluster": how soon counts are right after a promotion, and after slots were moved.

A replica, and viewers in 24 courses who say every 1.5 s that they are there, whatever they are answered.
Right means that every course is read again, with all of its viewers.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import NamedTuple

from redis.exceptions import RedisError

from presence_svc.settings import load
from presence_svc.store.keys import Keys
from tests.benchmarks import process
from tests.benchmarks.row import Figure, Scale
from tests.cluster_rig import Cluster, Sentinels, cluster, sentinels
from tests.faults.many_courses import SLOW, Courses, watched_courses
from tests.live.eventually import eventually

NAMES = [f"course-{n}" for n in range(24)]
PARTITIONS = 16  # few, so that moving some slots moves many courses
MOST_ROUNDS = 3
LONGEST_S = 60.0
Break = Callable[[], Awaitable[None]]


class Recovery(NamedTuple):
    """`took_s`: the fault; `right_s`: from its end to exact counts; `refused`: heartbeats, in percent."""

    took_s: float
    right_s: float
    refused: float


@asynccontextmanager
async def crowd(url: str) -> AsyncIterator[Courses]:
    """Viewers at a replica on this Redis; all are counted."""
    env = SLOW | {"PRESENCE_PARTITIONS": str(PARTITIONS)}
    with process.service(url, env, process.CORES) as service:
        async with watched_courses(service.url, NAMES) as courses:
            await _until(courses.are_right)
            yield courses


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    try:
        await eventually("it has come true", holds, within_s=LONGEST_S, every_s=0.02)
    except AssertionError as error:
        raise RuntimeError(str(error)) from error


async def recover(url: str, break_it: Break) -> Recovery:
    """`break_it` ends when another master has been promoted, or the slots are where they shall be."""
    async with crowd(url) as courses:
        began = monotonic()
        await break_it()
        ended = monotonic()
        await _until(courses.are_right)
        right = monotonic()
        said = courses.since(began)
        refused = sum(answer.status != 200 for answer in said) / max(1, len(said))
    return Recovery(ended - began, right - ended, 100 * refused)


def sentinel_killed() -> Recovery:
    with sentinels() as watched:

        async def kill() -> None:
            before = watched.master_port
            os.kill(watched.master().pid, signal.SIGKILL)
            await _until(lambda: asyncio.to_thread(_is_promoted, watched, before))

        return asyncio.run(recover(watched.url, kill))


def _is_promoted(watched: Sentinels, before: int) -> bool:
    try:
        with watched.client(next(port for port in watched.ports if port != before)) as client:
            return str(client.info("replication")["role"]) == "master"
    except RedisError:  # a Sentinel ends all connections when it makes a master of it
        return False


def cluster_killed() -> Recovery:
    with cluster() as servers:
        master = servers.servers[0]
        replica = servers.replica_of(master)

        async def kill() -> None:
            await asyncio.to_thread(servers.kill, master)
            await asyncio.to_thread(servers.promoted, replica)

        return asyncio.run(recover(servers.url, kill))


def cluster_by_hand() -> Recovery:
    with cluster() as servers:

        async def swap() -> None:
            await asyncio.to_thread(servers.fail_over, servers.servers[0])

        return asyncio.run(recover(servers.url, swap))


def moved(at_once: bool) -> Recovery:
    """A third of the courses, to another master."""
    with cluster() as servers:
        move = servers.reshard_at_once if at_once else servers.reshard

        async def reshard() -> None:
            await asyncio.to_thread(move, _slots(servers), servers.servers[1])

        return asyncio.run(recover(servers.url, reshard))


def _slots(servers: Cluster) -> list[int]:
    keys = Keys.of(load(redis_url=servers.url, partitions=PARTITIONS))
    return [partition.slot for partition in keys.partitions[: PARTITIONS // 3]]


def times(scale: Scale) -> list[Figure]:
    """Of each kind of fault."""
    kinds: dict[str, tuple[str, Callable[[], Recovery]]] = {
        "Sentinels, master killed": ("promotion", sentinel_killed),
        "Cluster, master killed": ("promotion", cluster_killed),
        "Cluster, failover by hand": ("promotion", cluster_by_hand),
        "Cluster, 5 partitions moved key by key": ("its end", lambda: moved(False)),
        "Cluster, 5 partitions moved at once": ("its end", lambda: moved(True)),
    }
    figures = []
    for what, (end, run) in kinds.items():
        found = [run() for _ in range(min(scale.rounds, MOST_ROUNDS))]
        figures += [
            Figure(f"{what}: until {end}", [one.took_s for one in found], "", "s"),
            Figure(f"{what}: from {end} to exact counts", [one.right_s for one in found], "", "s"),
            Figure(f"{what}: heartbeats refused meanwhile", [one.refused for one in found], "", "%"),
        ]
    return figures
