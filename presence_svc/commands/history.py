"""`presence-svc history COURSE`: shows a course's history as a sparkline and a table, as JSON or as CSV."""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..errors import Invalid, Misconfigured
from ..model import ID_PATTERN
from ..settings import Settings, load
from ..store.history.answers import HistoryAnswers, steps_of
from ..store.history.model import History, Step
from ..store.redis.factory import open_link
from ..web.api import ranges
from ..web.api.history import DEFAULT_MS, POINTS, as_csv

BARS = "▁▂▃▄▅▆▇█"
UNKNOWN = "·"
STEPS: tuple[Step, ...] = ("1m", "15m", "1h", "1d")
LAST_MS = DEFAULT_MS | {"1h": 86_400_000}
TIMEOUT_S = 2.0


class Question(NamedTuple):
    """The options of the command; times are texts, "" = not given."""

    course_id: str
    chapter_id: str
    step: str
    begin: str
    end: str
    tz: str
    form: str  # table, json or csv


def run(question: Question) -> None:
    """Prints the history. Raises Misconfigured for invalid options, Unavailable if Redis is away."""
    settings = load()
    if settings.redis_url is None:
        raise Misconfigured("PRESENCE_REDIS_URL is not set: there is no history to show")
    if not settings.history:
        raise Misconfigured("PRESENCE_HISTORY is off: no history is kept")
    for name, value in (("course", question.course_id), ("--chapter", question.chapter_id or "-")):
        if not re.fullmatch(ID_PATTERN, value):
            raise Misconfigured(f"{value!r} is not an id ({name})")
    try:
        found = asyncio.run(_ask(settings, question))
    except Invalid as error:
        raise Misconfigured(error.detail) from None
    if question.form == "json":
        print(found.model_dump_json(by_alias=True))
    elif question.form == "csv":
        sys.stdout.write(as_csv(found).decode())
    else:
        Console(highlight=False).print(panel(found))


async def _ask(settings: Settings, question: Question) -> History:
    here = ranges.zone_named(question.tz)
    if question.step not in STEPS:
        raise Invalid([("--step", f"must be one of {', '.join(STEPS)}")])
    link = open_link(settings)
    try:
        answers = HistoryAnswers(link, settings)
        coverage = await answers.coverage(question.course_id)
        end = ranges.moment_in(question.end, "--to", here) if question.end else coverage.now
        last_ms = LAST_MS[question.step]
        begin = ranges.moment_in(question.begin, "--from", here) if question.begin else end - last_ms
        if begin >= end:
            raise Invalid([("--from", "must be before --to")])
        wanted = await steps_of(question.step, begin, min(end, coverage.now), here, limit=POINTS + 1)
        if len(wanted) > POINTS:
            raise Invalid([("--from", f"gives more than {POINTS:,} steps")])
        return await answers.history(
            coverage,
            question.course_id,
            question.chapter_id or None,
            question.step,
            wanted,
            here,
        )
    finally:
        await link.close()


def sparkline(values: list[float | None]) -> str:
    """One character per value, a full block for the largest, a dot for unknown ones."""
    most = max((value for value in values if value is not None), default=0) or 1
    return "".join(
        UNKNOWN if value is None else BARS[min(len(BARS) - 1, int(value / most * len(BARS)))]
        for value in values
    )


def panel(found: History) -> RenderableType:
    """The sparkline above the table, with the newest step last."""
    here = ZoneInfo(found.tz)
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("", "peak", "average", "viewer minutes", "unique", ""):
        table.add_column(name, justify="left" if not name else "right")
    form = "%a %d %b" if found.step == "1d" else "%a %d %b %H:%M"
    for t, peak, average, minutes, unique, partial in zip(
        found.t, found.peak, found.average, found.viewer_minutes, found.unique, found.partial, strict=True
    ):
        note = "not known" if peak is None else "partial" if partial else ""
        cells = (_number(peak, 0), _number(average, 2), _number(minutes, 1), _number(unique, 0))
        table.add_row(f"{datetime.fromtimestamp(t / 1000, here):{form}}", *cells, f"[dim]{note}[/]")
    line = Text(sparkline(found.average), style="green", overflow="fold")
    grid = Table.grid(expand=False)
    grid.add_row(line)
    grid.add_row("")
    grid.add_row(table)
    title = found.course_id + (f" / {found.chapter_id}" if found.chapter_id else "")
    return Panel(grid, title=title, subtitle=f"average per {found.step}, {found.tz}", expand=False)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
