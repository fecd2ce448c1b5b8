"""`presence-svc watch COURSE`: shows the count live in a terminal, or prints a line per change."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from ..client import watch
from ..errors import Misconfigured
from ..model import Count
from ..settings import load

BAR = 40


def run(course_id: str, *, as_json: bool) -> None:
    """Runs until Ctrl-C. Raises Misconfigured when no Redis is named or the course id is malformed."""
    settings = load()
    if settings.redis_url is None:
        raise Misconfigured("PRESENCE_REDIS_URL is not set: there is nothing to watch")
    url, prefix = settings.redis_url.get_secret_value(), settings.key_prefix
    with suppress(KeyboardInterrupt):
        try:
            asyncio.run(_watch(url, course_id, prefix, as_json=as_json))
        except ValueError:
            raise Misconfigured(f"{course_id!r} is not a course id") from None


async def _watch(url: str, course_id: str, prefix: str, *, as_json: bool) -> None:
    changes = watch(url, course_id, key_prefix=prefix)
    console = Console()
    if as_json or not console.is_terminal:
        async for count in changes:
            print(count.model_dump_json() if as_json else line(count), flush=True)
        return
    with Live(console=console, auto_refresh=False) as screen:
        async for count in changes:
            screen.update(panel(count), refresh=True)


def line(count: Count) -> str:
    """One change in one line."""
    chapters = ", ".join(f"{name} {n}" for name, n in sorted(count.chapters.items())) or "none"
    return (
        f"{_clock(count)} {count.course_id}: {count.total} ({count.named} named, "
        f"{count.anonymous} anonymous; chapters: {chapters}){' warming' if count.warming else ''}"
    )


def panel(count: Count) -> RenderableType:
    """The count with a bar for each chapter."""
    table = Table.grid(padding=(0, 2))
    table.add_row("[bold]all[/]", f"[bold]{count.total:,}[/]", "")
    table.add_row("named", f"{count.named:,}", "")
    table.add_row("anonymous", f"{count.anonymous:,}", "")
    most = max(count.chapters.values(), default=1)
    for name, n in sorted(count.chapters.items()):
        table.add_row(name, f"{n:,}", "[green]" + "█" * max(1, BAR * n // most) + "[/]")
    note = "Redis is warming up: there may be more" if count.warming else f"as of {_clock(count)}"
    return Panel(table, title=count.course_id, subtitle=note)


def _clock(count: Count) -> str:
    return f"{datetime.fromtimestamp(count.as_of / 1000, UTC).astimezone():%H:%M:%S}"
