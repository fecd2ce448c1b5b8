"""A row of the table: what it measures, at which size, and the figures that came out.

Rows are functions that give figures; they raise Missing when a program that they need is not installed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from statistics import median
from typing import NamedTuple


class Missing(Exception):
    """What this row needs is not installed; says what, and how to get it."""


class Scale(NamedTuple):
    """How much of everything. Times in seconds; `crowd` is the size of a very large course."""

    rounds: int
    seconds: float
    courses: int
    viewers: int
    listeners: int
    frames: int
    crowd: int
    joins: int


FULL = Scale(7, 3.0, 100, 1_000, 2_000, 30, 100_000, 200)
QUICK = Scale(1, 0.3, 5, 20, 20, 3, 500, 10)


class Figure(NamedTuple):
    """One line: values of paired runs (ratios, unless `unit` says otherwise) and what is aimed for."""

    what: str
    values: list[float]
    aim: str = ""
    unit: str = "x"

    def text(self, value: float) -> str:
        digits = 0 if abs(value) >= 1_000 else 1 if abs(value) >= 100 else 2
        return f"{value:,.{digits}f} {self.unit}"

    def low_middle_high(self) -> tuple[str, str, str]:
        return self.text(min(self.values)), self.text(median(self.values)), self.text(max(self.values))


class Row(NamedTuple):
    """`run` gives the figures; `compared` says with what."""

    name: str
    compared: str
    run: Callable[[Scale], list[Figure]]


def need(program: str, package: str) -> str:
    """The path of a program. Raises Missing."""
    path = shutil.which(program)
    if path is None:
        raise Missing(f"{program} is not installed (Debian: {package})")
    return path
