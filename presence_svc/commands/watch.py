"""`presence-svc watch COURSE`: shows the count live in a terminal, or prints a line per change.

It listens to the channel in PRESENCE_REDIS_URL or, if that is not set, to a stream of a running service.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from pydantic import TypeAdapter
from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from ..client import watch
from ..client.stream import stream
from ..errors import Misconfigured, PresenceError, Unavailable
from ..model import Count, Id
from ..settings import Settings, load, load_beside_others
from ..store.presence import Presence
from ..store.redis.factory import link_to
from .simulate import trouble_at
from .terminal import INTERRUPTED, fail, interruptible

BAR = 40
TIMEOUT_S = 3.0


def run(course_id: str, *, url: str = "", as_json: bool) -> int:
    """Runs until Ctrl-C and returns the exit status. Raises Misconfigured for an invalid course id."""
    settings = load()
    try:
        TypeAdapter(Id).validate_python(course_id)
    except ValueError:
        raise Misconfigured(f"{course_id!r} is not a course id") from None
    if settings.redis_url is not None and not url:
        source, name = _heard(settings, course_id), "PRESENCE_REDIS_URL"
    else:
        name = (url or f"http://127.0.0.1:{settings.port}").rstrip("/")
        if trouble := trouble_at(name):
            return fail(trouble if url else f"{trouble}, or set PRESENCE_REDIS_URL")
        source = stream(name, course_id, os.environ.get("PRESENCE_API_KEY", ""))
    try:
        with interruptible():
            asyncio.run(_show(source, as_json=as_json))
    except Unavailable as error:
        return fail(f"{name}: there is nothing to watch ({error.detail})")
    except PresenceError as error:
        return fail(f"{name}: {error.detail}")
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


async def _show(counts: AsyncIterator[Count], *, as_json: bool) -> None:
    console = Console()
    if as_json or not console.is_terminal:
        async for count in counts:
            print(count.model_dump_json() if as_json else line(count), flush=True)
        return
    with Live(console=console, auto_refresh=False) as screen:
        async for count in counts:
            screen.update(panel(count), refresh=True)


async def _heard(settings: Settings, course_id: str) -> AsyncIterator[Count]:
    """Counts from the channel. Raises Unavailable if Redis does not answer first; later it may go away."""
    assert settings.redis_url is not None  # noqa: S101 - checked by the caller
    url = settings.redis_url.get_secret_value()
    await _check(url)
    async for count in watch(url, course_id, key_prefix=settings.key_prefix):
        yield count


async def _check(url: str) -> None:
    """Raises Unavailable if Redis does not answer at this URL."""
    link = link_to(url, timeout_s=TIMEOUT_S)
    logging.disable(logging.WARNING)  # the error message is enough
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
