"""What falls due, seen from one replica: which courses to look at, and the sweep of each (S8, S9).

Called by live.sweeper and by `presence-svc sweep`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..settings import Settings
from . import scripts
from .keys import Keys
from .redis.link import Command, Link

CLAIM_MS = 500
COURSES = 100
MEMBERS = 1000
GUESSES = 6
UNHEARD_MS = 3_000


def unheard_ms(settings: Settings) -> int:
    """When nobody has asked what is due for so long, nobody could, or ran."""
    return max(UNHEARD_MS, round(settings.sweep_interval * 3000))


class Due(NamedTuple):
    """Times in ms by Redis's clock; `next_at` 0 = nothing else is on the agenda."""

    now: int
    next_at: int
    courses: list[str]


class Swept(NamedTuple):
    """How many viewers were removed, and when to look at the course again (ms; 0 = nobody is left).

    `closed`: how many minutes of history were closed, `partial`: how many of these lack something.
    """

    gone: int
    look_at: int
    closed: int = 0
    partial: int = 0


class Agenda:
    """All calls raise Unavailable when Redis is away."""

    def __init__(self, link: Link, settings: Settings) -> None:
        self.link = link
        self.settings = settings
        self.keys = Keys(settings.key_prefix)
        self._now = 0  # by Redis's clock, when it was last heard

    async def due(self) -> Due:
        """Claims what is due now for this caller."""
        keys, settings = self.keys, self.settings
        names: tuple[str, ...] = (keys.agenda,)
        args: tuple[int, ...] = (COURSES, CLAIM_MS, settings.hidden_ttl_ms)
        if settings.history:
            names += (keys.heard, keys.gaps)
            # A quarter's end may be further away than the end of any lease. A gap below TTL less the interval
            # ends nobody's lease: whoever beat before it has one beyond it.
            longest = max(settings.hidden_ttl_ms, settings.quarter_ms + settings.minute_ms)
            outlived = max(1, settings.ttl_ms - round(settings.heartbeat_interval * 1000))
            args = (
                COURSES,
                CLAIM_MS,
                longest,
                unheard_ms(settings),
                outlived,
                settings.ttl_ms,
                settings.days_ms,
            )
        reply = await self.link.call(scripts.DUE, names, args)
        self._now = reply[0]
        return Due(reply[0], reply[1], [course.decode() for course in reply[2:]])

    async def sweep(self, course_ids: Sequence[str]) -> list[Swept]:
        """One bounded step on each of these courses, in one exchange.

        Minutes go to keys named by their hour. Nearly always the guess, the last minute, is right; else the
        script says which it is, and is asked again.
        """
        swept = dict.fromkeys(course_ids, Swept(0, 0))
        minutes = dict.fromkeys(course_ids, self._now // self.settings.minute_ms - 1)
        for _ in range(GUESSES):
            now = self._now
            replies = await self.link.pipeline([self._step(*item, now) for item in minutes.items()])
            needed = {}
            for course_id, (gone, look_at, at, closed, partial, need) in zip(minutes, replies, strict=True):
                old = swept[course_id]
                swept[course_id] = Swept(old.gone + gone, look_at, old.closed + closed, old.partial + partial)
                self._now = max(self._now, at)
                if need >= 0:
                    needed[course_id] = need
            if not needed:
                break
            minutes = needed
        return [swept[course_id] for course_id in course_ids]

    def _step(self, course_id: str, minute: int, now: int) -> Command:
        keys, settings = self.keys, self.settings
        names: tuple[str, ...] = (keys.agenda, keys.where, *keys.course(course_id))
        args: tuple[int | str, ...] = (
            settings.publish_interval_ms,
            MEMBERS,
            settings.hidden_ttl_ms,
            *settings.books,
        )
        if settings.history:
            quarter = now // (15 * settings.minute_ms)
            names += keys.tiers(course_id, minute, quarter)
            kept = (settings.minutes_ms, settings.quarters_ms, settings.days_ms, settings.uniques_ms)
            args += (*kept, minute, quarter)
        return ("EVALSHA", scripts.SWEEP, len(names), *names, *args)
