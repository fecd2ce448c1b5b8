"""`presence-svc simulate`: N viewers against a URL, a progress bar, and a summary of latencies.

Each viewer is a task that sends heartbeats when the server asks for them (or at a given interval) and leaves
at the end. Latency is what a client sees, including the wait for a connection.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Any

import httpx2
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .crowd import COURSES, Crowd, Viewer
from .terminal import INTERRUPTED, fail, interruptible

CONNECTIONS = 100
RETRY_S = 1.0
PROBE_S = 5.0
RAMP_SHARE = 0.2
LONGEST_RAMP_S = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate. `seconds` and `interval` are in seconds; without `interval` the server decides."""

    url: str
    viewers: int
    courses: int
    seconds: float
    interval: float | None = None
    api_key: str | None = None


@dataclass(slots=True)
class Tally:
    """The results: milliseconds of each answered call, and how often each error occurred."""

    heartbeats: list[float] = field(default_factory=list)
    leaves: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    present: int = 0


def run(plan: Plan, *, as_json: bool = False) -> int:
    """Runs the plan and prints a summary. Returns 0, 1 when anything went wrong, or 130 after Ctrl-C."""
    tally, status = Tally(), 0
    console = Console(stderr=as_json)
    try:
        if trouble := trouble_at(plan.url):
            return fail(trouble)
        with interruptible():
            asyncio.run(_simulate(plan, tally, console))
    except KeyboardInterrupt:
        console.print("interrupted; the results so far:")
        status = INTERRUPTED
    print(json.dumps(figures(tally))) if as_json else console.print(summary(tally))
    return status or (1 if tally.errors or not tally.heartbeats else 0)


def trouble_at(url: str) -> str | None:
    """Why viewers cannot be simulated at this address, in a sentence; None if the service answers."""
    advice = "give the URL of the service with --url, such as http://127.0.0.1:8000"
    try:
        parts = httpx2.URL(url)
        if parts.scheme not in ("http", "https") or not parts.host:
            return f"{url!r} is not the URL of a service: {advice}"
        reply = httpx2.get(f"{url.rstrip('/')}/livez", timeout=PROBE_S)
    except (httpx2.InvalidURL, ValueError):
        return f"{url!r} is not the URL of a service: {advice}"
    except httpx2.HTTPError as error:
        return f"no answer from {url} ({str(error) or type(error).__name__}): {advice}"
    return (
        None
        if reply.is_success
        else f"{url} is not a presence service (/livez: {reply.status_code}): {advice}"
    )


def figures(tally: Tally) -> dict[str, Any]:
    """The summary as numbers."""
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1}
    calls = {"heartbeat": tally.heartbeats, "leave": tally.leaves}
    return {
        **{
            name: {"answered": len(found)}
            | {key: round(percentile(found, share), 3) for key, share in shares.items()}
            for name, found in calls.items()
        },
        "errors": dict(tally.errors),
    }


def summary(tally: Tally) -> Table:
    """A table with a row for each kind of call and of error."""
    table = Table("call", "answered", "p50 ms", "p95 ms", "p99 ms", "max ms")
    for name, latencies in (("heartbeat", tally.heartbeats), ("leave", tally.leaves)):
        figures = [percentile(latencies, share) for share in (0.5, 0.95, 0.99, 1)]
        table.add_row(name, f"{len(latencies):,}", *(f"{figure:.1f}" for figure in figures))
    for error, times in tally.errors.most_common():
        table.add_row(f"[red]{error}[/]", f"[red]{times:,}[/]", "", "", "", "")
    return table


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed; 0 when there are none."""
    if not values:
        return 0.0
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


async def _simulate(plan: Plan, tally: Tally, console: Console) -> None:
    names = [
        *COURSES,
        *(f"course-{number}" for number in range(len(COURSES) + 1, plan.courses + 1)),
    ]
    crowd = Crowd(plan.viewers, courses=names[: plan.courses])
    headers = {"Authorization": f"Bearer {plan.api_key}"} if plan.api_key else {}
    limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx2.AsyncClient(base_url=plan.url, headers=headers, limits=limits, timeout=10) as client:
        caller = _Caller(client, plan, tally, monotonic() + plan.seconds)
        async with asyncio.TaskGroup() as group:
            group.create_task(_show(plan, tally, console))
            for _ in range(plan.viewers):
                group.create_task(caller.attend(crowd.arrive(monotonic()), crowd.chance))


async def _show(plan: Plan, tally: Tally, console: Console) -> None:
    """Shows a progress bar, with how many viewers are present and what was sent."""
    columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=plan.seconds)
        began = monotonic()
        while (spent := monotonic() - began) < plan.seconds:
            text = (
                f"{tally.present:,} present, {len(tally.heartbeats):,} heartbeats, "
                f"{tally.errors.total():,} errors"
            )
            progress.update(bar, completed=spent, description=text)
            await asyncio.sleep(min(0.2, plan.seconds - spent))


class _Caller:
    """What the viewers share: the connections, the plan and the tally."""

    def __init__(self, client: httpx2.AsyncClient, plan: Plan, tally: Tally, ends_at: float) -> None:
        self._client = client
        self._plan = plan
        self._tally = tally
        self._ends_at = ends_at

    async def attend(self, viewer: Viewer, chance: random.Random) -> None:
        """One viewer's life: arrives during the ramp, sends heartbeats, changes chapters, leaves."""
        ramp = min(self._plan.seconds * RAMP_SHARE, LONGEST_RAMP_S)
        await asyncio.sleep(chance.uniform(0, ramp))
        self._tally.present += 1
        while (now := monotonic()) < self._ends_at:
            if viewer.moves_at <= now:
                viewer.move_on(now, chance)
            pause_s = await self._heartbeat(viewer)
            next_at = min(now + pause_s, max(now, viewer.moves_at), self._ends_at)
            await asyncio.sleep(max(0.0, next_at - monotonic()))
        await self._post("leave", viewer, viewer.leave(), self._tally.leaves)
        self._tally.present -= 1

    async def _heartbeat(self, viewer: Viewer) -> float:
        """Sends a heartbeat and returns the seconds until the next one."""
        reply = await self._post("heartbeat", viewer, viewer.heartbeat(), self._tally.heartbeats)
        if reply is None:
            return RETRY_S
        wish_s: float = reply.json()["next_heartbeat_ms"] / 1000
        return self._plan.interval or wish_s

    async def _post(
        self, verb: str, viewer: Viewer, body: dict[str, Any], latencies: list[float]
    ) -> httpx2.Response | None:
        began = perf_counter()
        try:
            reply = await self._client.post(f"/v1/courses/{viewer.course_id}/{verb}", json=body)
        except httpx2.HTTPError as error:
            self._tally.errors[f"{verb}: {type(error).__name__}"] += 1
            return None
        if reply.is_error:
            self._tally.errors[f"{verb}: HTTP {reply.status_code}"] += 1
            return None
        latencies.append((perf_counter() - began) * 1000)
        return reply
