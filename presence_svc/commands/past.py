"""Invents two plausible weeks of a course for `presence-svc demo`: evenings, lessons, a class's progress.

Pure but for the random generator. Called by demo before the first viewer arrives.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from ..store.history.demo_past import COURSE, Past
from ..store.history.series import Value

MINUTE_MS, QUARTER = 60_000, 15  # minutes
WEEKS, LATELY = 2, 48 * 60  # minutes are kept for two days
WEEKDAY = (1.0, 1.1, 1.15, 1.05, 0.8, 0.45, 0.6)  # from Monday
LESSONS = ((1, 18), (3, 18), (5, 10))  # weekday and hour (UTC) at which many arrive at once


def past(course_id: str, size: float, chapters: Sequence[str], now: int, chance: random.Random) -> Past:
    """`size` is about how many watch on a good evening; `now` is in ms."""
    last = now // MINUTE_MS  # the minute that is open
    first = (last - WEEKS * 7 * 1_440) // QUARTER * QUARTER
    minutes: dict[int, dict[str, Value]] = {}
    quarters: dict[int, dict[str, Value]] = {}
    uniques: dict[int, int] = {}
    level = 1.0
    for quarter in range(first // QUARTER, last // QUARTER + 1):
        level += 0.25 * (1 - level) + chance.gauss(0, 0.12)
        mean = size * max(0.0, level) * _appeal(quarter * QUARTER)
        shares = _shares(len(chapters), (quarter * QUARTER - first) / (last - first), chance)
        begin, end = quarter * QUARTER, min((quarter + 1) * QUARTER, last)
        if begin < last - LATELY:
            values = _minute(mean, chapters, shares, chance)
            if values:
                quarters[quarter] = {
                    name: Value(v.peak + 1, v.viewer_ms * QUARTER, False) for name, v in values.items()
                }
        else:
            for minute in range(begin, end):
                values = _minute(max(0.0, mean * (1 + chance.gauss(0, 0.08))), chapters, shares, chance)
                if values:
                    minutes[minute] = values
                    _fold(quarters.setdefault(quarter, {}), values)
        if quarter in quarters:
            day = quarter * QUARTER // 1_440
            uniques[day] = uniques.get(day, 0) + round(mean * chance.uniform(0.15, 0.3))
    return Past(course_id, minutes, quarters, uniques)


def _fold(folded: dict[str, Value], values: dict[str, Value]) -> None:
    for name, value in values.items():
        old = folded.get(name, Value(0, 0, False))
        folded[name] = Value(max(old.peak, value.peak), old.viewer_ms + value.viewer_ms, False)


def _appeal(minute: int) -> float:
    """The share of a good evening's viewers who are present at this time of the week."""
    hour, weekday = minute % 1_440 / 60, (minute // 1_440 + 3) % 7  # 1970 began on a Thursday
    evening = math.exp(-(((hour - 19.5) / 2.6) ** 2))
    noon = 0.45 * math.exp(-(((hour - 12.2) / 1.5) ** 2))
    night = 0.04 if hour < 6 else 0.12
    lesson = 0.7 if any(weekday == day and start <= hour < start + 1.2 for day, start in LESSONS) else 0.0
    return WEEKDAY[weekday] * (evening + noon + night) + lesson


def _shares(chapters: int, progress: float, chance: random.Random) -> list[float]:
    """The share of each chapter: most viewers are where the class is, some at the start, some elsewhere."""
    at = progress * (chapters - 1)
    raw = [math.exp(-(((n - at) / 1.3) ** 2)) + 0.12 + (0.15 if n == 0 else 0) for n in range(chapters)]
    raw = [share * chance.uniform(0.8, 1.2) for share in raw]
    return [share / sum(raw) for share in raw]


def _minute(
    mean: float, chapters: Sequence[str], shares: Sequence[float], chance: random.Random
) -> dict[str, Value]:
    """One minute with `mean` viewers, split over chapters; each peak is above its average."""
    found = {}
    viewer_ms = 0
    for name, share in zip(chapters, shares, strict=True):
        there = mean * share * chance.uniform(0.85, 1.15)
        time = round(there * MINUTE_MS)
        if time >= MINUTE_MS // 10:
            found[name] = Value(math.ceil(there), time, False)
            viewer_ms += time
    if not viewer_ms:
        return {}
    peak = max(math.ceil(viewer_ms / MINUTE_MS), *(value.peak for value in found.values()))
    return {COURSE: Value(peak, viewer_ms, False), **found}
