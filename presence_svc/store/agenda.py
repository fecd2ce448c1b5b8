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
GUESSES = 6
UNHEARD_MS = 3_000


def unheard_ms(settings: Settings) -> int:
    """When nobody has asked what is due for so long, nobody could, or ran."""
    return max(UNHEARD_MS, round(settings.sweep_interval * 3000))


class Due(NamedTuple):
    """Times in ms by the clock of the first server asked; `next_at` 0 = nothing else is known of."""

    now: int
    next_at: int
    courses: list[str]


class Swept(NamedTuple):
    """How many viewers were removed, and when to look at the course again (as `Due`; 0 = nobody is left).

    `closed`: how many minutes of history were closed, `partial`: how many of these lack something.
    """

    gone: int
    look_at: int
    closed: int = 0
    partial: int = 0


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
        self.missed = 0  # partitions that the last look could not see: their master is away
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
        self.missed = len(replies) - len(found)
        late_ms = [here - next_at for _, (here, next_at, *_) in found if next_at]
        self.lag_s = max(0, *late_ms, 0) / 1000
        now, courses, waits_ms = found[0][1][0] if found else 0, [], self._known_waits_ms()
        for partition, (here, next_at, *claimed) in found:
            heard_at = asyncio.get_running_loop().time()
            clock = self._clocks[partition.number] = _Clock(here, heard_at, here - now)
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
        everywhere |= now - self._full_at >= FULL_SHARE * self.settings.sweep_interval
        if everywhere or len(partitions) == 1:
            self._full_at = now
            self._looks.clear()
            return list(partitions)
        ripe = [number for number, at in self._looks.items() if at <= now]
        return [partitions[number] for number in ripe if self._looks.pop(number)]

    async def courses(self) -> list[str]:
        """Every course with something on an agenda: with somebody in it, or just left. Raises Unavailable."""
        commands = [("ZRANGE", partition.agenda, 0, -1) for partition in self.keys.partitions]
        return [course.decode() for listed in await self.link.pipeline(commands) for course in listed]

    def _look(self, partition: Partition) -> Command:
        settings = self.settings
        names: tuple[str, ...] = (partition.agenda,)
        args: tuple[int, ...] = (COURSES, CLAIM_MS, settings.hidden_ttl_ms)
        if settings.history:
            names += (partition.heard, partition.gaps, *partition.nothing)
            # A quarter's end may be further away than the end of any lease. A gap below TTL less the interval
            # ends nobody's lease: whoever beat before it has one beyond it.
            longest = max(settings.hidden_ttl_ms, settings.quarter_ms + settings.minute_ms)
            outlived = max(1, settings.ttl_ms - round(settings.heartbeat_interval * 1000))
            gaps = (unheard_ms(settings), outlived, settings.ttl_ms, settings.days_ms)
            args = (COURSES, CLAIM_MS, longest, *gaps)
        return ("EVALSHA", scripts.DUE, len(names), *names, *args)

    async def sweep(self, course_ids: Sequence[str]) -> list[Swept]:
        """One bounded step on each of these courses, in one exchange per master.

        Minutes go to keys named by their hour. Nearly always the guess, the last minute, is right; else the
        script says which it is, and is asked again. A master that is away has its courses looked at later.
        """
        swept = dict.fromkeys(course_ids, Swept(0, 0))
        minutes = {
            course_id: self._now_of(course_id) // self.settings.minute_ms - 1 for course_id in course_ids
        }
        for _ in range(GUESSES):
            steps = [self._step(*item) for item in minutes.items()]
            replies: list[Any] = await self.link.results(steps)
            if replies and all(isinstance(reply, PresenceError) for reply in replies):
                raise replies[0]
            needed = {}
            for course_id, reply in zip(minutes, replies, strict=True):
                if isinstance(reply, PresenceError):
                    continue
                need = self._take(course_id, reply, swept)
                if need >= 0:
                    needed[course_id] = need
            if not needed:
                break
            minutes = needed
        return [swept[course_id] for course_id in course_ids]

    def _now_of(self, course_id: str) -> int:
        """When its server was last heard, by its clock in ms; 0 = never."""
        clock = self._clocks.get(self.keys.partition_of(course_id).number)
        return clock.now_ms if clock else 0

    def _take(self, course_id: str, reply: list[int], swept: dict[str, Swept]) -> int:
        """Adds up what a step has done; the minute that it needs, -1 = none."""
        gone, look_at, at, closed, partial, need = reply
        number = self.keys.partition_of(course_id).number
        clock = self._clocks.get(number) or _Clock(at, asyncio.get_running_loop().time(), 0)
        if at > clock.now_ms:
            clock = clock._replace(now_ms=at, heard_at=asyncio.get_running_loop().time())
        self._clocks[number] = clock
        if look_at:
            self._look_at(clock.loop_time(look_at), number)
            look_at -= clock.ahead_ms
        old = swept[course_id]
        swept[course_id] = Swept(old.gone + gone, look_at, old.closed + closed, old.partial + partial)
        return need

    def _step(self, course_id: str, minute: int) -> Command:
        keys, settings = self.keys, self.settings
        partition = keys.partition_of(course_id)
        names: tuple[str, ...] = (partition.agenda, partition.where, *keys.course(course_id))
        args: tuple[int | str, ...] = (settings.publish_interval_ms, MEMBERS, settings.hidden_ttl_ms)
        args += settings.history_args
        if settings.history:
            quarter = self._now_of(course_id) // (15 * settings.minute_ms)
            names += keys.tiers(course_id, minute, quarter)
            kept = (settings.minutes_ms, settings.quarters_ms, settings.days_ms, settings.uniques_ms)
            args += (*kept, minute, quarter)
        return ("EVALSHA", scripts.SWEEP, len(names), *names, *args)
