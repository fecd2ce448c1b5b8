"""The settings of history: how long it is kept, and what else is counted. A part of Settings."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings

from .kinds import Rule

UNIQUES_MS = 35 * 86_400_000
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_TEXT = re.compile(rf"(\d+(?:\.\d+)?)\s*([{''.join(UNITS)}]?)")


def _span(value: object) -> object:
    """`48h`, `90d`, `2y` as seconds; a number without a unit is in seconds."""
    if not isinstance(value, str):
        return value
    found = _TEXT.fullmatch(value.strip().lower())
    if found is None:
        raise ValueError("must be a number of seconds, or a number with a unit, such as 48h, 90d or 2y")
    return float(found[1]) * UNITS[found[2] or "s"]


Span = Annotated[float, BeforeValidator(_span), Field(gt=0, le=10 * UNITS["y"], allow_inf_nan=False)]


class HistorySettings(BaseSettings):
    """Mixed into Settings, which carries the environment's prefix."""

    minute_ms: ClassVar[int] = 60_000  # tests set a shorter one, so that a day passes in seconds

    history: bool = Field(
        True, description="keep the peak and average of every minute; must be the same on all replicas"
    )
    history_minutes: Span = Field(
        172_800,
        description="how long minutes are kept, in seconds or with a unit (s, m, h, d, w, y): `48h`",
    )
    history_quarters: Span = Field(7_776_000, description="how long quarters of an hour are kept: `90d`")
    history_days: Span = Field(63_072_000, description="how long days are kept: `2y`")
    uniques: Literal["hll", "exact", "off"] = Field(
        "hll",
        description="distinct viewers per day: `hll` = approximate, at most 14 KB per day; `exact`; `off`",
    )
    people: bool = Field(
        True, description="count distinct viewers over all courses; must be the same on all replicas"
    )

    def history_rules(self) -> list[Rule]:
        """Each tier must outlive what it is made from."""
        return [
            Rule(
                self.history_minutes >= 3_600, "HISTORY_MINUTES", "must be at least an hour, for example 48h"
            ),
            Rule(
                self.history_quarters >= max(self.history_minutes, UNITS["d"]),
                "HISTORY_QUARTERS",
                "must be at least a day, and not less than PRESENCE_HISTORY_MINUTES",
            ),
            Rule(
                self.history_days >= self.history_quarters,
                "HISTORY_DAYS",
                "must not be less than PRESENCE_HISTORY_QUARTERS",
            ),
        ]

    @property
    def history_args(self) -> tuple[int, str, int]:
        """Arguments of every script that records joins or ends: minute ms (0 = off), uniques, people."""
        return self.minute_ms if self.history else 0, self.uniques, int(self.people)

    @property
    def quarter_ms(self) -> int:
        return 15 * self.minute_ms

    @property
    def minutes_ms(self) -> int:
        return round(self.history_minutes * 1000)

    @property
    def quarters_ms(self) -> int:
        return round(self.history_quarters * 1000)

    @property
    def days_ms(self) -> int:
        return round(self.history_days * 1000)

    @property
    def tiers_ms(self) -> tuple[int, int, int, int]:
        """For how long minutes, quarters, days and uniques are kept."""
        return self.minutes_ms, self.quarters_ms, self.days_ms, self.uniques_ms

    @property
    def uniques_ms(self) -> int:
        """For how long a day's distinct viewers are kept: after their number is stored, for unions."""
        return min(self.quarters_ms, UNIQUES_MS)
