"""How many distinct people are in any course now (S14). Called by store.stats and live.hub.

With PEOPLE=off the answer is None. All calls raise Unavailable.
"""

from __future__ import annotations

from typing import NamedTuple

from ...settings import Settings
from .. import scripts
from ..agenda import CLAIM_MS
from ..keys import Keys
from ..redis.link import Link
from .union import BOUND_S as UNION_BOUND_S
from .union import PeopleUnion

COURSES = 2_000  # at most, checked in one call
LAPSED = 5_000  # viewers with an ended lease, at most, checked in one call
MARGIN_MS = 250  # courses that become due this soon are checked too
TRIES = 3
BOUND_S = 1.5  # an ended lease is swept within this time (S9)


class People(NamedTuple):
    """Distinct viewers over all courses at `as_of`; when not `exact`, right within `bound_s` seconds."""

    people: int
    exact: bool
    bound_s: float | None
    as_of: int


class PeopleCounter:
    """Counts from the index that scripts maintain (`where`), less viewers with ended leases not swept yet."""

    def __init__(self, link: Link, settings: Settings, keys: Keys) -> None:
        self._link = link
        self._settings = settings
        self._keys = keys
        self._union = PeopleUnion(link, keys)

    async def count(self) -> People | None:
        """Exact when Redis answers, unless very many leases have just ended. None: people are not counted."""
        if not self._settings.people:
            return None
        if self._keys.is_partitioned:
            return await self._on_a_cluster()
        courses: list[str] = []
        for _ in range(TRIES):
            now, people, is_exact = await self._ask(courses)
            if is_exact:
                break
            soon = now + CLAIM_MS + MARGIN_MS
            (found,) = await self._link.pipeline(
                [("ZRANGEBYSCORE", self._keys.partitions[0].agenda, "-inf", soon, "LIMIT", 0, COURSES)]
            )
            courses = [course.decode() for course in found]
        return People(people=people, exact=bool(is_exact), bound_s=None if is_exact else BOUND_S, as_of=now)

    async def _on_a_cluster(self) -> People | None:
        """A viewer's courses may be in several partitions: the count is right within its bound."""
        people, as_of = await self._union.count()
        return None if people is None else People(people, exact=False, bound_s=UNION_BOUND_S, as_of=as_of)

    async def _ask(self, courses: list[str]) -> tuple[int, int, int]:
        """Runs the script on these courses: they come from an earlier read, as scripts may not build keys."""
        keys = self._keys
        names = (
            keys.partitions[0].agenda,
            keys.partitions[0].where,
            *(keys.course(course).viewers for course in courses),
        )
        reply: tuple[int, int, int] = await self._link.call(
            scripts.PEOPLE, names, (CLAIM_MS, LAPSED, *courses)
        )
        return reply
