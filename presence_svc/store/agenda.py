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


class Due(NamedTuple):
    """Times in ms by Redis's clock; `next_at` 0 = nothing else is on the agenda."""

    now: int
    next_at: int
    courses: list[str]


class Swept(NamedTuple):
    """How many viewers were removed, and when to look at the course again (ms; 0 = nobody is left)."""

    gone: int
    look_at: int


class Agenda:
    """All calls raise Unavailable when Redis is away."""

    def __init__(self, link: Link, settings: Settings) -> None:
        self.link = link
        self.settings = settings
        self.keys = Keys(settings.key_prefix)

    async def due(self) -> Due:
        """Claims what is due now for this caller."""
        reply = await self.link.call(
            scripts.DUE, (self.keys.agenda,), (COURSES, CLAIM_MS, self.settings.hidden_ttl_ms)
        )
        return Due(reply[0], reply[1], [course.decode() for course in reply[2:]])

    async def sweep(self, course_ids: Sequence[str]) -> list[Swept]:
        """One bounded step on each of these courses, in one exchange."""
        return [Swept(*reply) for reply in await self.link.pipeline(list(map(self._step, course_ids)))]

    def _step(self, course_id: str) -> Command:
        keys = (self.keys.agenda, *self.keys.course(course_id))
        return (
            "EVALSHA",
            scripts.SWEEP,
            len(keys),
            *keys,
            self.settings.publish_interval_ms,
            MEMBERS,
            self.settings.hidden_ttl_ms,
        )
