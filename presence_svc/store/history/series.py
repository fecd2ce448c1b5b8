"""A stretch of minutes, quarters or days, and what is known of each. Pure; made by store.history.reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Value(NamedTuple):
    """The most viewers at one moment, viewer time in ms, and whether a part is unknown."""

    peak: int
    area: int
    torn: bool


class Unit(NamedTuple):
    """What is known of one minute, quarter or day: nothing when `length` (ms of it that is over) is 0."""

    peak: int
    area: int
    length: int
    torn: bool


UNKNOWN = Unit(0, 0, 0, True)


class Series(NamedTuple):
    """`units[0]` is the unit of this number (`first`); a unit lasts `size` ms."""

    size: int
    first: int
    units: list[Unit]


Gap = tuple[int, int]  # from, to (ms): what was then, nobody heard


def value_of(text: str) -> Value:
    """A tier's value, "peak area" or "peak area!"."""
    peak, area = text.split(" ")[:2]
    return Value(int(peak), int(area.removesuffix("!")), area.endswith("!"))


def minutes_of(hour: int, lines: str, number: str) -> dict[int, Value]:
    """The minutes in a text of an hour: of the course (number "") or of a chapter."""
    found = {}
    for line in lines.splitlines():
        minute, peak, area, *chapter = line.split(" ")
        if (chapter[0] if chapter else "") == number:
            found[hour * 60 + int(minute)] = value_of(f"{peak} {area}")
    return found


def series(
    size: int, first: int, end: int, values: Mapping[int, Value], gaps: Iterable[Gap], edge: int
) -> Series:
    """The units from `first` to `end` (excluded). What has no value was empty, unless nobody could hear.

    Minutes are closed up to `edge` (ms): a unit that reaches beyond it is not whole.
    """
    units = []
    unheard = sorted(gaps)
    at = 0
    for unit in range(first, end):
        begin, over = unit * size, min((unit + 1) * size, edge)
        while at < len(unheard) and unheard[at][1] <= begin:
            at += 1
        is_torn = at < len(unheard) and unheard[at][0] < (unit + 1) * size
        value = values.get(unit)
        if over <= begin or (is_torn and value is None):
            units.append(UNKNOWN)
        elif value is None:
            units.append(Unit(0, 0, over - begin, over < begin + size))
        else:
            torn = is_torn or value.torn or over < begin + size
            units.append(Unit(value.peak, value.area, over - begin, torn))
    return Series(size, first, units)


def merged(gaps: Iterable[Gap]) -> list[Gap]:
    """The same gaps, in order and apart."""
    found: list[Gap] = []
    for begin, end in sorted(gaps):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def total(units: Iterable[Unit]) -> Unit:
    """Several units as one."""
    peak = area = length = 0
    torn = False
    for unit in units:
        peak, area, length = max(peak, unit.peak), area + unit.area, length + unit.length
        torn = torn or unit.torn
    return Unit(peak, area, length, torn)
