"""`presence-svc watch COURSE`: shows the count live in a terminal, or prints a line per change."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from pydantic import TypeAdapter
from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from ..client import watch
from ..errors import Misconfigured, Unavailable
from ..model import Count, Id
from ..settings import load, load_beside_others
from ..store.presence import Presence
from ..store.redis.factory import link_to
from .terminal import INTERRUPTED, fail, interruptible

BAR = 40
TIMEOUT_S = 3.0


def run(course_id: str, *, as_json: bool) -> int:
    """Runs until Ctrl-C; the exit status. Raises Misconfigured when the course id is malformed."""
    settings = load()
    if settings.redis_url is None:
        return fail("PRESENCE_REDIS_URL is not set: there is nothing to watch")
    url, prefix = settings.redis_url.get_secret_value(), settings.key_prefix
    try:
        with interruptible():
            asyncio.run(_watch(url, course_id, prefix, as_json=as_json))
    except ValueError:
        raise Misconfigured(f"{course_id!r} is not a course id") from None
    except Unavailable as error:
        return fail(f"PRESENCE_REDIS_URL: there is nothing to watch ({error.detail})")
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


async def _watch(url: str, course_id: str, prefix: str, *, as_json: bool) -> None:
    TypeAdapter(Id).validate_python(course_id)
    await _look(url)  # later it may go and come back
    changes = watch(url, course_id, key_prefix=prefix)
    console = Console()
    if as_json or not console.is_terminal:
        async for count in changes:
            print(count.model_dump_json() if as_json else line(count), flush=True)
        return
    with Live(console=console, auto_refresh=False) as screen:
        async for count in changes:
            screen.update(panel(count), refresh=True)


async def _look(url: str) -> None:
    """Raises Unavailable when no Redis answers at this address."""
    link = link_to(url, timeout_s=TIMEOUT_S)
    logging.disable(logging.WARNING)  # one sentence says it all
    try:
        await Presence(link, load_beside_others(redis_url=url)).ping()
    finally:
        await link.close()
        logging.disable(logging.NOTSET)


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
