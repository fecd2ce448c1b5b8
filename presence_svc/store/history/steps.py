"""Where hours and days begin in a time zone, by local time, to a quarter of an hour. Pure."""

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
    """Steps of equal size (ms), counted from 1970: minutes and quarters are the same in every zone."""
    return (Step(at, at + size) for at in range(begin - begin % size, end, size))


def hours(begin: int, end: int, zone: ZoneInfo) -> Iterator[Step]:
    """The hours of a zone that `begin` to `end` (ms) overlaps. An hour that is repeated is two steps."""
    at = _hour_begin(begin, zone)
    offset = local(at, zone).utcoffset()
    while at < end:
        after = at + HOUR_MS
        next_offset = local(after, zone).utcoffset()
        if next_offset != offset or local(at, zone).minute:  # the offset changes, or did within this hour
            after = at + QUARTER_MS
            while _hour_begin(after, zone) == at:
                after += QUARTER_MS
            next_offset = local(after, zone).utcoffset()
        yield Step(at, after)
        at, offset = after, next_offset


def _hour_begin(ms: int, zone: ZoneInfo) -> int:
    """When the local hour began, or when the zone's offset last changed, if that was within the hour."""
    ms -= ms % QUARTER_MS
    now = local(ms, zone)
    back = ms - (now.minute // 15) * QUARTER_MS
    while back < ms and local(back, zone).utcoffset() != now.utcoffset():
        back += QUARTER_MS
    return back


def days(begin: int, end: int, zone: ZoneInfo) -> Iterator[Step]:
    """The days of a zone that `begin` to `end` (ms) overlaps: of 23 or 25 hours when its offset changes."""
    day = local(begin, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    at = _midnight(day, zone)
    while at < end:
        day = (day.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone)
        after = _midnight(day, zone)
        yield Step(at, after)
        at = after


def _midnight(day: datetime, zone: ZoneInfo) -> int:
    """The first moment of a date, in ms, also where an offset change skips midnight."""
    at = round(day.astimezone(UTC).timestamp() * 1000)
    at -= at % QUARTER_MS
    while local(at, zone).date() < day.date():
        at += QUARTER_MS
    while local(at - QUARTER_MS, zone).date() >= day.date():
        at -= QUARTER_MS
    return at
