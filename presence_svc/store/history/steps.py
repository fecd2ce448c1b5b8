"""Where hours and days begin in any time zone, by the clock on the wall, in quarters of an hour. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

QUARTER_MS = 900_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


class Step(NamedTuple):
    """From `begin` to `end` (ms, excluded)."""

    begin: int
    end: int


def local(ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(ms / 1000, zone)


def even(begin: int, end: int, size: int) -> Iterator[Step]:
    """Steps of equal size (ms), counted from 1970: minutes and quarters are alike in every zone."""
    return (Step(at, at + size) for at in range(begin - begin % size, end, size))


def hours(begin: int, end: int, zone: ZoneInfo) -> Iterator[Step]:
    """The hours of a zone that `begin` to `end` touches. The hour that comes twice a year is two."""
    at = _hour_begin(begin, zone)
    offset = local(at, zone).utcoffset()
    while at < end:
        after = at + HOUR_MS
        ahead = local(after, zone).utcoffset()
        if ahead != offset or local(at, zone).minute:  # clocks are set on the way, or were within the hour
            after = at + QUARTER_MS
            while _hour_begin(after, zone) == at:
                after += QUARTER_MS
            ahead = local(after, zone).utcoffset()
        yield Step(at, after)
        at, offset = after, ahead


def _hour_begin(ms: int, zone: ZoneInfo) -> int:
    """Where the hour on the wall began, or the zone's clocks were last set if that was within it."""
    ms -= ms % QUARTER_MS
    now = local(ms, zone)
    back = ms - (now.minute // 15) * QUARTER_MS
    while back < ms and local(back, zone).utcoffset() != now.utcoffset():
        back += QUARTER_MS
    return back


def days(begin: int, end: int, zone: ZoneInfo) -> Iterator[Step]:
    """The days of a zone that `begin` to `end` touches: of 23 or 25 hours when its clocks are set."""
    day = local(begin, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    at = _midnight(day, zone)
    while at < end:
        day = (day.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone)
        after = _midnight(day, zone)
        yield Step(at, after)
        at = after


def _midnight(day: datetime, zone: ZoneInfo) -> int:
    """The first moment of a date, in ms: where midnight is skipped, the first that there is."""
    at = round(day.astimezone(UTC).timestamp() * 1000)
    at -= at % QUARTER_MS
    while local(at, zone).date() < day.date():
        at += QUARTER_MS
    while local(at - QUARTER_MS, zone).date() >= day.date():
        at -= QUARTER_MS
    return at
