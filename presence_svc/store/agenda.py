"""Claims the courses that are due, and sweeps them (S8, S9).

Called by live.sweeper and by `presence-svc sweep`. On a Cluster each partition has its own agenda: all are
checked about every SWEEP_INTERVAL, in one exchange per master, and in between those that this replica knows
to be due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..errors import PresenceError
from ..settings import Settings
from . import scripts
from .history.gaps import gap_args
from .keys import Keys, Partition
from .redis.link import Command, Link

CLAIM_MS = 500
COURSES = 100  # claimed at most, per partition
MEMBERS = 1000  # removed at most, per sweep of a course
FULL_SHARE = 0.7  # of SWEEP_INTERVAL: at least so long between two checks of all partitions
GUESSES = 6


class Due(NamedTuple):
    """The claimed courses, and when something is due next (0 = not known). ms by the first server's clock."""

    now: int
    next_at: int
    courses: list[str]


class Swept(NamedTuple):
    """How many viewers were removed, and when the course is due again (as in `Due`; 0 = nobody is left).

    `closed`: how many minutes of history were closed; `partial`: how many of these are partial.
    """

    removed: int
    next_due: int
    closed: int = 0
    partial: int = 0


class _Clock(NamedTuple):
    """A server's time, the loop time at which it was read, and its offset from the clock of `Due`."""

    now_ms: int
    heard_at: float
    offset_ms: int

    def loop_time(self, at_ms: int) -> float:
        return self.heard_at + (at_ms - self.now_ms) / 1000


class Agenda:
    """All calls raise Unavailable when Redis is away; on a Cluster, when all masters are.

    Calls `on_removed` with how many viewers were removed, and `on_closed` with how many minutes were closed
    and how many of them are partial.
    """

    def __init__(self, link: Link, settings: Settings) -> None:
        self.link = link
        self.settings = settings
        self.keys = Keys.of(settings)
        self.lag_s = 0.0  # how long the oldest due course that was left over has waited
        self.missed = 0  # partitions that the last check missed, because their master is away
        self.on_removed: Callable[[int], None] = lambda viewers: None
        self.on_closed: Callable[[int, int], None] = lambda minutes, partial: None
        self._due_at: dict[int, float] = {}  # the loop time at which something is due in a partition
        self._clocks: dict[int, _Clock] = {}
        self._full_at = float("-inf")

    def expect(self, delay_ms: int, partition: int) -> None:
        """Notes that something in this partition will be due in `delay_ms`."""
        self._note_due(asyncio.get_running_loop().time() + delay_ms / 1000, partition)

    def _note_due(self, at: float, partition: int) -> None:
        self._due_at[partition] = min(at, self._due_at.get(partition, at))

    async def due(self, *, everywhere: bool = False) -> Due:
        """Claims the courses that are due now. `everywhere`: checks all partitions."""
        partitions = self._to_check(everywhere=everywhere)
        replies: list[Any] = await self.link.results([self._due_call(partition) for partition in partitions])
        found = [pair for pair in zip(partitions, replies, strict=True) if isinstance(pair[1], list)]
        if replies and not found:
            raise replies[0]
        self.missed = len(replies) - len(found)
        late_ms = [server_now - next_at for _, (server_now, next_at, *_) in found if next_at]
        self.lag_s = max(0, *late_ms, 0) / 1000
        now, courses, waits_ms = found[0][1][0] if found else 0, [], self._known_waits_ms()
        for partition, (server_now, next_at, *claimed) in found:
            heard_at = asyncio.get_running_loop().time()
            clock = self._clocks[partition.number] = _Clock(server_now, heard_at, server_now - now)
            courses += [course.decode() for course in claimed]
            if next_at:
                waits_ms.append(next_at - server_now)
                self._note_due(clock.loop_time(next_at), partition.number)
        return Due(now, now + min(waits_ms) if waits_ms else 0, courses)

    def _known_waits_ms(self) -> list[int]:
        """In how many ms something is due in partitions that were not checked."""
        now = asyncio.get_running_loop().time()
        return [max(0, round((at - now) * 1000)) for at in self._due_at.values()]

    def _to_check(self, *, everywhere: bool) -> list[Partition]:
        now, partitions = asyncio.get_running_loop().time(), self.keys.partitions
        everywhere |= now - self._full_at >= FULL_SHARE * self.settings.sweep_interval
        if everywhere or len(partitions) == 1:
            self._full_at = now
            self._due_at.clear()
            return list(partitions)
        due = [number for number, at in self._due_at.items() if at <= now]
        return [partitions[number] for number in due if self._due_at.pop(number)]

    async def courses(self) -> list[str]:
        """Every course on an agenda: occupied, or left recently. Raises Unavailable."""
        commands = [("ZRANGE", partition.agenda, 0, -1) for partition in self.keys.partitions]
        return [course.decode() for listed in await self.link.pipeline(commands) for course in listed]

    def _due_call(self, partition: Partition) -> Command:
        settings = self.settings
        names: tuple[str, ...] = (partition.agenda,)
        args: tuple[int, ...] = (COURSES, CLAIM_MS, settings.hidden_ttl_ms)
        if settings.history:
            names += (partition.heard, partition.gaps, *partition.nothing)
            # A quarter is closed within two minutes of its end, which may be later than any lease.
            longest = max(settings.hidden_ttl_ms, settings.quarter_ms + 3 * settings.minute_ms)
            args = (COURSES, CLAIM_MS, longest, *gap_args(settings))
        return ("EVALSHA", scripts.DUE, len(names), *names, *args)

    async def sweep(self, course_ids: Sequence[str]) -> list[Swept]:
        """One bounded step for each of these courses, in one exchange per master.

        Minutes are written to keys named by their hour. The guess, the last minute, is nearly always right;
        otherwise the script says which minute it needs, and is called again. Courses of a master that is away
        are swept later.
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
        """The last known time of the course's server in ms; 0 = not known yet."""
        clock = self._clocks.get(self.keys.partition_of(course_id).number)
        return clock.now_ms if clock else 0

    def _take(self, course_id: str, reply: list[int], swept: dict[str, Swept]) -> int:
        """Adds up what a step has done; returns the minute that it needs, -1 = none."""
        removed, next_due, at, closed, partial, need = reply
        number = self.keys.partition_of(course_id).number
        clock = self._clocks.get(number) or _Clock(at, asyncio.get_running_loop().time(), 0)
        if at > clock.now_ms:
            clock = clock._replace(now_ms=at, heard_at=asyncio.get_running_loop().time())
        self._clocks[number] = clock
        if next_due:
            self._note_due(clock.loop_time(next_due), number)
            next_due -= clock.offset_ms
        if removed:
            self.on_removed(removed)
        if closed:
            self.on_closed(closed, partial)
        old = swept[course_id]
        swept[course_id] = Swept(old.removed + removed, next_due, old.closed + closed, old.partial + partial)
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
            args += (*(kept + settings.quarter_ms for kept in settings.tiers_ms), minute, quarter)
        return ("EVALSHA", scripts.SWEEP, len(names), *names, *args)
