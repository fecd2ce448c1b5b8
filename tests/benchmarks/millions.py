"""Row "millions": what ten million viewers take, reckoned from what calls cost here at 1, 3 and 6 masters.

A long tail over 200,000 courses, and one course of 200,000. Measured is processor time, of Redis and of the
store in a worker, per call and per heartbeat in it, and bytes per viewer. The rest is assumed, in World:
change it and run `python -m tests.benchmarks millions`. docs/sizing.md shows a result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import ceil
from statistics import median
from typing import Any, NamedTuple

from presence_svc.settings import load
from presence_svc.store.presence import Presence
from presence_svc.store.redis.factory import open_link
from tests.benchmarks.cluster import GROUP, LONG, Cost, Place, heartbeats, steady
from tests.benchmarks.row import Figure, Scale
from tests.cluster_rig import cluster

MASTERS = (1, 3, 6)
MOST_ROUNDS = 3
FILLED = 20_000  # viewers by which memory is measured, in ten times fewer courses


class World(NamedTuple):
    """What is assumed. Times in s; costs in us."""

    viewers: int = 10_000_000
    courses: int = 200_000
    largest: int = 200_000  # viewers of one course; all others share the rest
    interval_s: float = 27.0  # between two heartbeats of a viewer
    stay_s: float = 1_200.0  # from coming to going
    beats_a_call: float = (
        2.0  # of the tail, each in a course of its own; an idle worker has 1, a busy one more
    )
    beats_a_large_call: float = 100.0  # of the large course
    message_s: float = 0.25  # PUBLISH_INTERVAL
    listeners: float = 0.1  # of the viewers are on a stream or see a badge that is
    close_us: float = 60.0  # a minute of history of a course (row "history")
    http_us: float = (
        44.0  # a heartbeat by the fast path, without the store's share on a Cluster (row "fast-path")
    )
    busy: float = 0.7  # of a core at most, of a master and of a worker
    room: float = 2.0  # of memory: twice what is there (docs/sizing.md)


class Unit(NamedTuple):
    """Of processor time, in us: a call with what it looks at first, and each heartbeat in it."""

    call: float
    beat: float

    def of(self, beats_a_call: float) -> float:
        """A heartbeat that shares its call with so many."""
        return self.call / beats_a_call + self.beat


def solved(one: Cost, many: Cost, us: Callable[[Cost], float]) -> Unit:
    """From a group in one call, and the same over all partitions."""
    call = max(0.0, (us(many) - us(one)) * GROUP / (many.calls - one.calls))
    return Unit(call, max(0.0, us(one) - call / GROUP))


class Measured(NamedTuple):
    redis: Unit
    worker: Unit
    bytes_a_viewer: float


def measured(masters: int, scale: Scale) -> Measured:
    """On a Cluster of as many masters, on this machine, without replicas."""
    groups, rounds = max(2, round(scale.seconds * 10)), min(scale.rounds, MOST_ROUNDS)
    with cluster(masters=masters, replicas=0) as servers:
        place = Place("", servers.url, [servers.client_of(server) for server in servers.servers])
        one, many = (
            _middle([asyncio.run(steady(place, courses, groups)) for _ in range(rounds)])
            for courses in (1, GROUP)
        )
        servers.empty()
        size = asyncio.run(_bytes_a_viewer(place, max(2_000, min(FILLED, scale.crowd))))
    redis = solved(one, many, lambda cost: cost.redis_us)
    return Measured(redis, solved(one, many, lambda cost: cost.worker_us), size)


def _middle(costs: list[Cost]) -> Cost:
    return Cost(*(median(values) for values in zip(*costs, strict=True)))


async def _bytes_a_viewer(place: Place, viewers: int) -> float:
    made = load(redis_url=place.url, redis_timeout=0.45, **LONG)
    link = open_link(made, timeout_s=10)
    presence = Presence(link, made)
    await link.start()
    before = _used(place)
    writes = heartbeats(viewers // 10, viewers)
    for start in range(0, viewers, GROUP):
        await presence.heartbeats([(write, write.seq) for write in writes[start : start + GROUP]])
    used = _used(place) - before
    await presence.close()
    await link.close()
    return used / viewers


def _used(place: Place) -> int:
    facts: list[Any] = [server.info("memory") for server in place.servers]
    return sum(int(fact["used_memory"]) for fact in facts)


def reckoned(world: World, found: Measured) -> dict[str, tuple[float, str]]:
    """What such a world takes, by name, with its unit."""
    beats = world.viewers / world.interval_s
    large = beats * world.largest / world.viewers
    tail_us = found.redis.of(world.beats_a_call)
    large_us = found.redis.of(world.beats_a_large_call)
    closes = world.courses / 60
    redis_cores = ((beats - large) * tail_us + large * large_us + closes * world.close_us) / 1e6
    worker_us = world.http_us + found.worker.of(world.beats_a_call)
    masters = ceil(redis_cores / world.busy)
    changes = 2 * world.viewers / world.stay_s
    messages = min(changes, (world.courses - 1) / world.message_s) + 1 / world.message_s
    a_course = (world.viewers - world.largest) / (world.courses - 1)
    tail_frames = 2 * (world.viewers - world.largest) / world.stay_s * a_course * world.listeners
    return {
        "heartbeats": (beats, "/s"),
        "Redis, a heartbeat of the tail": (tail_us, "us"),
        "Redis, a heartbeat of the large course": (large_us, "us"),
        "Redis": (redis_cores, "cores"),
        "masters": (masters, ""),
        "replicas, one for each": (masters, ""),
        "memory of a master": (
            world.viewers * found.bytes_a_viewer * world.room / masters / 2**30,
            "GiB",
        ),
        "workers": (ceil(beats * worker_us / 1e6 / world.busy), ""),
        "messages": (messages, "/s"),
        "frames to listeners": (tail_frames + world.largest * world.listeners / world.message_s, "/s"),
    }


def sizes(scale: Scale) -> list[Figure]:
    """The costs at each number of masters, and the result by the largest."""
    figures, found = [], None
    for masters in MASTERS:
        found = measured(masters, scale)
        for who, unit in (("Redis", found.redis), ("worker", found.worker)):
            figures += [
                Figure(f"{masters} masters: {who}, a {part}", [us], "", "us")
                for part, us in unit._asdict().items()
            ]
        figures.append(Figure(f"{masters} masters: a viewer", [found.bytes_a_viewer], "", "B"))
    assert found is not None
    return figures + [
        Figure(f"ten million: {name}", [value], "", unit)
        for name, (value, unit) in reckoned(World(), found).items()
    ]
