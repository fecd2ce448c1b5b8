"""Peak, average and viewer minutes of steps, as the history routes show them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from .series import Series, Unit, total
from .steps import Step

DIGITS = 3


def minutes(viewer_ms: int) -> float:
    """Converts viewer time from ms to minutes."""
    return round(viewer_ms / 60_000, DIGITS)


Column = tuple[int | None, float | None, float | None, bool]


def column(unit: Unit) -> Column:
    """Peak, average, viewer minutes, and whether a part is unknown."""
    if not unit.length:
        return None, None, None, True
    return unit.peak, round(unit.viewer_ms / unit.length, DIGITS), minutes(unit.viewer_ms), unit.partial


def columns_of(found: Series, wanted: Iterable[Step]) -> list[Column]:
    """A column for each step, from the units in it."""
    return [
        column(
            total(found.units[one.begin // found.size - found.first : one.end // found.size - found.first])
        )
        for one in wanted
    ]
