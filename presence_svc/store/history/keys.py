"""The names of the keys of history. Part of store.keys, which explains them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from ..redis.cluster.slots import Partition

MINUTES_A_DAY = 1_440
BLOCK = 365  # days per hash


class TierKeys(NamedTuple):
    """The keys that a closed minute is written to, in the order of sweep.lua's KEYS."""

    minutes: str
    quarters: str
    days: str
    uniques: str
    numbers: str
    seen: str
    closed: str


class HistoryKeys(ABC):
    """A mixin of Keys, which knows how every name of a course begins."""

    @abstractmethod
    def _base(self, course_id: str) -> str: ...

    @abstractmethod
    def _partition_of(self, course_id: str) -> Partition: ...

    def minutes(self, course_id: str, hour: int) -> str:
        return f"{self._base(course_id)}minutes:{hour}"

    def quarters(self, course_id: str, day: int) -> str:
        return f"{self._base(course_id)}quarters:{day}"

    def days(self, course_id: str, block: int) -> str:
        return f"{self._base(course_id)}days:{block}"

    def uniques(self, course_id: str, day: int) -> str:
        return f"{self._base(course_id)}uniques:{day}"

    def numbers(self, course_id: str) -> str:
        return f"{self._base(course_id)}numbers"

    def closed(self, quarter: int, partition: Partition) -> str:
        return f"{partition.base}closed:{quarter}"

    def tiers(self, course_id: str, minute: int, closing: int) -> TierKeys:
        """The keys for this minute if it is closed in the quarter `closing`."""
        day, partition = minute // MINUTES_A_DAY, self._partition_of(course_id)
        return TierKeys(
            self.minutes(course_id, minute // 60),
            self.quarters(course_id, day),
            self.days(course_id, day // BLOCK),
            self.uniques(course_id, day),
            self.numbers(course_id),
            partition.seen,
            self.closed(closing, partition),
        )
