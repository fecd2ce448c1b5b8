"""Rows "cluster" and "partitions": what a heartbeat costs Redis and a worker, how soon a join is seen.

How soon counts are right after a failover, and after slots were moved, comes from failover.py.

Steady heartbeats through the store, in groups of 500, as a busy worker sends them. Processor time, not rate;
all servers that hold data are added up, replicas too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any, NamedTuple

import redis

from presence_svc.model import Heartbeat
from presence_svc.settings import load
from presence_svc.store.agenda import Agenda
from presence_svc.store.presence import Presence
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.factory import open_link
from presence_svc.store.shared import Shared
from presence_svc.store.write import HeartbeatWrite, WithSeq, pack_seq
from tests.benchmarks import change, failover
from tests.benchmarks.row import Figure, Scale
from tests.cluster_rig import cluster, sentinels

GROUP = 500
SPREADS = (1, 50, 500)  # courses that a group is spread over
PARTITIONS_TRIED = (64, 256, 1_024)
LONG = {"ttl": 3_600, "hidden_ttl": 3_600}


class Place(NamedTuple):
    """A kind of Redis, its URL, and clients of every server behind it."""

    name: str
    url: str
    servers: list[redis.Redis]

    def cpu_s(self) -> float:
        facts: list[Any] = [server.info("cpu") for server in self.servers]
        return float(sum(f["used_cpu_user"] + f["used_cpu_sys"] for f in facts))


@contextmanager
def places() -> Iterator[list[Place]]:
    """One server on a socket, a master and a replica under Sentinels, three masters with a replica each."""
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer())
        url = server.url if isinstance(server, EmbeddedServer) else server
        alone = stack.enter_context(redis.Redis.from_url(url))
        watched = stack.enter_context(sentinels())
        many = stack.enter_context(cluster())
        yield [
            Place("one server", url, [alone]),
            Place("sentinel", watched.url, [watched.client(port) for port in watched.ports]),
            Place("3 masters + 3 replicas", many.url, [many.client_of(server) for server in many.servers]),
        ]


class Cost(NamedTuple):
    """Of a heartbeat, in us of processor time; calls and exchanges are of a group."""

    redis_us: float
    worker_us: float
    calls: float


def heartbeats(courses: int, viewers: int) -> list[HeartbeatWrite]:
    return [
        HeartbeatWrite(f"course-{n % courses}", f"u{n}", Heartbeat(viewer_id=f"u{n}", name=f"Ada {n}"))
        for n in range(viewers)
    ]


async def steady(place: Place, courses: int, groups: int, **settings: Any) -> Cost:
    """Renewals, all known to Redis, in the order of a crowd."""
    made = load(redis_url=place.url, redis_timeout=0.45, **LONG, **settings)
    link = open_link(made)
    presence = Presence(link, made)
    await link.start()
    writes = heartbeats(courses, GROUP)
    sent: list[int] = []
    results = link.results

    async def counted(commands: Any, **options: Any) -> Any:
        sent.append(len(commands))
        return await results(commands, **options)

    link.results = counted  # type: ignore[method-assign]
    try:
        for seq in (1, 2):
            await _send(presence, [(write, pack_seq(seq)) for write in writes])
        sent.clear()
        ready = [[(write, pack_seq(seq)) for write in writes] for seq in range(3, 3 + groups)]
        redis_s, worker_s = place.cpu_s(), time.process_time()
        for group in ready:
            await _send(presence, group)
        worker_s, redis_s = time.process_time() - worker_s, place.cpu_s() - redis_s
    finally:
        await presence.close()
        await link.close()
    many = groups * GROUP
    return Cost(redis_s / many * 1e6, worker_s / many * 1e6, sum(sent) / groups)


async def _send(presence: Presence, group: list[WithSeq]) -> None:
    for _ in range(20):  # a busy machine may be late for a deadline
        if not any(isinstance(result, Exception) for result in await presence.heartbeats(group)):
            return
    raise RuntimeError("the heartbeats were not recorded")


async def idle(place: Place, seconds: float, **settings: Any) -> float:
    """us of processor time of Redis per second, for a replica that has nothing to do but to look."""
    made = load(redis_url=place.url, redis_timeout=0.45, **settings)
    link = open_link(made)
    agenda, shared = Agenda(link, made), Shared(link, made)
    await link.start()
    looks = max(3, round(seconds * 10))
    before = place.cpu_s()
    for _ in range(looks):
        await shared.refresh()
        await agenda.due(everywhere=True)
    spent = place.cpu_s() - before
    await link.close()
    return spent / looks * 1e6


def compare(scale: Scale) -> list[Figure]:
    """The table of docs/cluster.md."""
    groups, figures = max(2, round(scale.seconds * 20)), []
    with places() as found:
        for courses in SPREADS:
            for place in found:
                costs = [asyncio.run(steady(place, courses, groups)) for _ in range(scale.rounds)]
                what = f"{place.name}, {GROUP} over {courses}"
                figures += [
                    Figure(f"{what}: Redis, all servers", [c.redis_us for c in costs], "", "us"),
                    Figure(f"{what}: worker, store only", [c.worker_us for c in costs], "", "us"),
                    Figure(f"{what}: calls per group", [c.calls for c in costs], "", ""),
                ]
        for place in found:
            took = change.joins(place.url, scale)
            figures += [
                Figure(f"{place.name}: join to frame, p50", [median(ms) for ms in took], "", "ms"),
                Figure(f"{place.name}: join to frame, p99", [change.p99(ms) for ms in took], "", "ms"),
            ]
    return figures + failover.times(scale)


def partitions(scale: Scale) -> list[Figure]:
    """What the number of partitions costs: a group over as many courses, and a look when nothing happens."""
    groups, figures = max(2, round(scale.seconds * 20)), []
    for many in PARTITIONS_TRIED:
        with cluster(replicas=0) as servers:
            place = Place("", servers.url, [servers.client_of(server) for server in servers.servers])
            costs = [asyncio.run(steady(place, GROUP, groups, partitions=many)) for _ in range(scale.rounds)]
            looks = [asyncio.run(idle(place, scale.seconds, partitions=many)) for _ in range(scale.rounds)]
            figures += [
                Figure(f"{many} partitions: Redis, 500 over 500", [c.redis_us for c in costs], "", "us"),
                Figure(f"{many} partitions: worker", [c.worker_us for c in costs], "", "us"),
                Figure(f"{many} partitions: calls per group", [c.calls for c in costs], "", ""),
                Figure(f"{many} partitions: Redis, one check of all", looks, "", "us"),
            ]
    return figures
