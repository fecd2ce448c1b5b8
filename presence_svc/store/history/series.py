"""A series of minutes, quarters or days, and what is known of each. Pure; made by store.history.reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Value(NamedTuple):
    """The largest number of viewers at one moment, viewer time in ms, and whether a part is unknown."""

    peak: int
    viewer_ms: int
    partial: bool


class Unit(NamedTuple):
    """One minute, quarter or day. `length` is how much of it is over and known, in ms; 0 = nothing known."""

    peak: int
    viewer_ms: int
    length: int
    partial: bool


UNKNOWN = Unit(0, 0, 0, True)


class Series(NamedTuple):
    """`units[0]` has the number `first`, counted from 1970; a unit lasts `size` ms."""

    size: int
    first: int
    units: list[Unit]


Gap = tuple[int, int]  # from, to (ms): nothing was recorded between them


def value_of(text: str) -> Value:
    """Parses a stored value, "peak viewer_ms" or "peak viewer_ms!" (a part is unknown)."""
    peak, viewer_ms = text.split(" ")[:2]
    return Value(int(peak), int(viewer_ms.removesuffix("!")), viewer_ms.endswith("!"))


def minutes_of(hour: int, lines: str, number: str) -> dict[int, Value]:
    """Parses an hour's text: the minutes of the course (number "") or of one chapter."""
    found = {}
    for line in lines.splitlines():
        minute, peak, viewer_ms, *chapter = line.split(" ")
        if (chapter[0] if chapter else "") == number:
            found[hour * 60 + int(minute)] = value_of(f"{peak} {viewer_ms}")
    return found


def series(
    size: int, first: int, end: int, values: Mapping[int, Value], gaps: Iterable[Gap], closed_until: int
) -> Series:
    """The units from `first` to `end` (excluded). One without a value was empty, unless it overlaps a gap.

    Minutes are closed up to `closed_until` (ms): a unit that ends later is partial.
    """
    units = []
    unknown = sorted(gaps)
    at = 0
    for unit in range(first, end):
        begin, over = unit * size, min((unit + 1) * size, closed_until)
        while at < len(unknown) and unknown[at][1] <= begin:
            at += 1
        is_partial = at < len(unknown) and unknown[at][0] < (unit + 1) * size
        value = values.get(unit)
        if over <= begin or (is_partial and value is None):
            units.append(UNKNOWN)
        elif value is None:
            units.append(Unit(0, 0, over - begin, over < begin + size))
        else:
            partial = is_partial or value.partial or over < begin + size
            units.append(Unit(value.peak, value.viewer_ms, over - begin, partial))
    return Series(size, first, units)


def merged(gaps: Iterable[Gap]) -> list[Gap]:
    """Sorts gaps and merges those that overlap."""
    found: list[Gap] = []
    for begin, end in sorted(gaps):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def total(units: Iterable[Unit]) -> Unit:
    """Combines several units into one."""
    peak = viewer_ms = length = 0
    partial = False
    for unit in units:
        peak, viewer_ms, length = max(peak, unit.peak), viewer_ms + unit.viewer_ms, length + unit.length
        partial = partial or unit.partial
    return Unit(peak, viewer_ms, length, partial)
