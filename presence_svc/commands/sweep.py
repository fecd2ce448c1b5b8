"""`presence-svc sweep`: one pass over the agenda, like those of the service's own sweeper.

For a Redis whose service is down: removes what has expired and publishes what is due.
"""

from __future__ import annotations

import asyncio
import json
from typing import NamedTuple

from rich.console import Console

from ..errors import Misconfigured, Unavailable
from ..settings import Settings, load
from ..store.agenda import Agenda
from ..store.redis.factory import open_link

MOST_STEPS = 100_000


class Swept(NamedTuple):
    """`missed`: partitions of a Cluster whose master was away."""

    courses: int
    viewers: int
    missed: int = 0


def run(*, as_json: bool = False) -> None:
    """Prints the result. Raises Misconfigured without a Redis URL, Unavailable if part of it is away."""
    settings = load()
    if settings.redis_url is None:
        raise Misconfigured("PRESENCE_REDIS_URL is not set: there is nothing to sweep")
    swept = asyncio.run(sweep(settings))
    if as_json:
        print(json.dumps({"courses": swept.courses, "viewers": swept.viewers}))
    else:
        Console().print(f"{swept.courses:,} courses checked, {swept.viewers:,} viewers removed")
    if swept.missed:
        raise Unavailable(f"{swept.missed} partitions were not checked: their master does not answer")


async def sweep(settings: Settings) -> Swept:
    """Sweeps the courses that are due now, and again when the messages that this has caused are due."""
    link = open_link(settings)
    try:
        agenda = Agenda(link, settings)
        courses: set[str] = set()
        viewers, until = 0, 0
        for _ in range(MOST_STEPS):
            due = await agenda.due(everywhere=True)
            until = until or due.now + 2 * settings.publish_interval_ms
            if due.courses:
                viewers += sum(swept.removed for swept in await agenda.sweep(due.courses))
                courses.update(due.courses)
            elif 0 < due.next_at <= until:
                await asyncio.sleep(max(0, due.next_at - due.now) / 1000)
            else:
                break
        return Swept(len(courses), viewers, agenda.missed)
    finally:
        await link.close()
