"""What falls due, seen from one replica: which courses to look at, and the sweep of each (S8, S9).

Called by live.sweeper and by `presence-svc sweep`. On a Cluster each partition has an agenda of its own: all
are looked at about every SWEEP_INTERVAL, in one exchange per master, and in between those that we know
something of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..errors import PresenceError
from ..settings import Settings
from . import scripts
from .keys import Keys, Partition
from .redis.link import Command, Link

CLAIM_MS = 500
COURSES = 100  # of one partition
MEMBERS = 1000
FULL_SHARE = 0.7  # of SWEEP_INTERVAL: no look at all partitions is sooner after the last


class Due(NamedTuple):
    """Times in ms by the clock of the first server asked; `next_at` 0 = nothing else is known of."""

    now: int
    next_at: int
    courses: list[str]


class Swept(NamedTuple):
    """How many viewers were removed, and when to look at the course again (as `Due`; 0 = nobody is left)."""

    gone: int
    look_at: int


class _Clock(NamedTuple):
    """What a partition's server said the time was, when that was, and how far it is ahead of Due's."""

    now_ms: int
    heard_at: float
    ahead_ms: int

    def loop_time(self, at_ms: int) -> float:
        return self.heard_at + (at_ms - self.now_ms) / 1000


class Agenda:
    """All calls raise Unavailable when Redis is away; of several masters those that are there are served."""

    def __init__(self, link: Link, settings: Settings) -> None:
        self.link = link
        self.settings = settings
        self.keys = Keys.of(settings)
        self.lag_s = 0.0  # how long what is due has waited, and was left for the next look
        self._looks: dict[int, float] = {}  # when something is due in a partition, by our loop's clock
        self._clocks: dict[int, _Clock] = {}
        self._full_at = float("-inf")

    def expect(self, delay_ms: int, partition: int) -> None:
        """Something of this partition falls due in `delay_ms`."""
        self._look_at(asyncio.get_running_loop().time() + delay_ms / 1000, partition)

    def _look_at(self, at: float, partition: int) -> None:
        self._looks[partition] = min(at, self._looks.get(partition, at))

    async def due(self, *, everywhere: bool = False) -> Due:
        """Claims what is due now for this caller."""
        partitions = self._to_look_at(everywhere=everywhere)
        replies: list[Any] = await self.link.results([self._look(partition) for partition in partitions])
        found = [pair for pair in zip(partitions, replies, strict=True) if isinstance(pair[1], list)]
        if replies and not found:
            raise replies[0]
        late_ms = [here - next_at for _, (here, next_at, *_) in found if next_at]
        self.lag_s = max(0, *late_ms, 0) / 1000
        now, courses, waits_ms = found[0][1][0] if found else 0, [], self._known_waits_ms()
        for partition, (here, next_at, *claimed) in found:
            clock = self._clocks[partition.number] = _Clock(
                here, asyncio.get_running_loop().time(), here - now
            )
            courses += [course.decode() for course in claimed]
            if next_at:
                waits_ms.append(next_at - here)
                self._look_at(clock.loop_time(next_at), partition.number)
        return Due(now, now + min(waits_ms) if waits_ms else 0, courses)

    def _known_waits_ms(self) -> list[int]:
        """In how many ms something is due in partitions that were not looked at."""
        now = asyncio.get_running_loop().time()
        return [max(0, round((at - now) * 1000)) for at in self._looks.values()]

    def _to_look_at(self, *, everywhere: bool) -> list[Partition]:
        now, partitions = asyncio.get_running_loop().time(), self.keys.partitions
        is_time = now - self._full_at >= FULL_SHARE * self.settings.sweep_interval
        if everywhere or len(partitions) == 1 or is_time:
            self._full_at = now
            self._looks.clear()
            return list(partitions)
        ripe = [number for number, at in self._looks.items() if at <= now]
        for number in ripe:
            del self._looks[number]
        return [partitions[number] for number in ripe]

    async def sweep(self, course_ids: Sequence[str]) -> list[Swept]:
        """One bounded step on each of these courses, in one exchange."""
        replies = await self.link.results(list(map(self._step, course_ids)))
        if replies and all(isinstance(reply, PresenceError) for reply in replies):
            raise replies[0]
        return [self._swept(*pair) for pair in zip(course_ids, replies, strict=True)]

    async def courses(self) -> list[str]:
        """Every course with something on an agenda: with somebody in it, or just left. Raises Unavailable."""
        commands = [("ZRANGE", partition.agenda, 0, -1) for partition in self.keys.partitions]
        return [course.decode() for listed in await self.link.pipeline(commands) for course in listed]

    def _look(self, partition: Partition) -> Command:
        limits = (COURSES, CLAIM_MS, self.settings.hidden_ttl_ms)
        return ("EVALSHA", scripts.DUE, 1, partition.agenda, *limits)

    def _step(self, course_id: str) -> Command:
        keys = (self.keys.partition_of(course_id).agenda, *self.keys.course(course_id))
        return (
            "EVALSHA",
            scripts.SWEEP,
            len(keys),
            *keys,
            self.settings.publish_interval_ms,
            MEMBERS,
            self.settings.hidden_ttl_ms,
        )

    def _swept(self, course_id: str, reply: Any) -> Swept:
        """A master that is away has its courses looked at when it is back."""
        if isinstance(reply, PresenceError):
            return Swept(0, 0)
        gone, look_at = reply
        number = self.keys.partition_of(course_id).number
        if look_at and (clock := self._clocks.get(number)):
            self._look_at(clock.loop_time(look_at), number)
            look_at -= clock.ahead_ms
        return Swept(gone, look_at)
