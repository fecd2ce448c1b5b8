"""The summary of `presence-svc simulate`: figures that were measured, and every kind of error."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console, RenderableType

from presence_svc.commands import simulate
from presence_svc.commands.simulate import Tally, percentile


def _printed(what: RenderableType) -> str:
    paper = StringIO()
    Console(file=paper, width=100).print(what)
    return paper.getvalue()


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0), (1, 100.0), (0.001, 1.0)]
)
def test_percentile_is_a_value_that_was_seen(share: float, expected: float) -> None:
    """Nearest rank: no figure that no call ever took."""
    values = [float(value) for value in range(100, 0, -1)]

    assert percentile(values, share) == expected
    assert percentile([], share) == 0


def test_summary_names_every_kind_of_error() -> None:
    """What went wrong stands beside what went well, with how often."""
    tally = Tally(heartbeats=[1.0, 2.0, 10.0])
    tally.errors["heartbeat: HTTP 503"] += 2

    lines = [line.replace("│", " ").split() for line in _printed(simulate.summary(tally)).splitlines()]

    assert ["heartbeat", "3", "2.0", "10.0", "10.0", "10.0"] in lines
    assert ["heartbeat:", "HTTP", "503", "2"] in lines
