"""What `presence-svc watch` draws."""

from __future__ import annotations

from io import StringIO

from rich.console import Console, RenderableType

from presence_svc.commands import watch
from presence_svc.model import Count


def _printed(what: RenderableType) -> str:
    paper = StringIO()
    Console(file=paper, width=100).print(what)
    return paper.getvalue()


def test_watch_draws_a_bar_for_each_chapter() -> None:
    """In a terminal the fullest chapter has the longest bar, and a number not to be trusted says so."""
    count = Count(
        course_id="c",
        total=3,
        named=2,
        anonymous=1,
        chapters={"ch-2": 1, "ch-1": 2},
        version=1,
        as_of=0,
        warming=True,
    )

    shown = _printed(watch.panel(count))

    bars = [line.count("█") for line in shown.splitlines() if "ch-" in line]
    assert bars == [40, 20]
    assert "warming up" in shown
    assert watch.line(count).endswith("c: 3 (2 named, 1 anonymous; chapters: ch-1 2, ch-2 1) warming")
