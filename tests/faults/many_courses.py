"""Viewers of many courses, as fault tests on a Cluster need them: a log, and what must hold in it (I1).

Each beats by HTTP in an interval of its own, whatever happens, and writes down every answer. What they say is
the truth: a course has as many viewers as have been told so within a lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import httpx2

TTL_S, INTERVAL_S = 10.0, 1.5
SLOW = {
    "PRESENCE_TTL": str(TTL_S),
    "PRESENCE_HIDDEN_TTL": str(2 * TTL_S),
    "PRESENCE_HEARTBEAT_INTERVAL": "2",
    "PRESENCE_SWEEP_INTERVAL": "0.4",
}


@dataclass
class Answer:
    """One heartbeat's; status 0 = no answer at all. `total` as it said, 0 without one."""

    course: str
    began: float
    took_s: float
    status: int
    total: int = 0


@dataclass
class Courses:
    """Who beats in which course, and what they were answered."""

    url: str
    names: Sequence[str]
    each: int
    answers: list[Answer] = field(default_factory=list)

    def since(self, moment: float, *, until: float = float("inf")) -> list[Answer]:
        return [a for a in self.answers if moment <= a.began and a.began + a.took_s <= until]

    async def totals(self) -> dict[str, int | None]:
        """What is read of each course now; None when it cannot be."""
        async with httpx2.AsyncClient(timeout=5) as client:
            found = await asyncio.gather(*(self._total(client, name) for name in self.names))
        return dict(zip(self.names, found, strict=True))

    async def _total(self, client: httpx2.AsyncClient, name: str) -> int | None:
        reply = await client.get(f"{self.url}/v1/courses/{name}/count")
        return int(reply.json()["total"]) if reply.status_code == 200 else None

    async def are_right(self) -> bool:
        """Every course has all of its viewers, and nobody else."""
        return set((await self.totals()).values()) == {self.each}

    def p99_ms(self, answers: Sequence[Answer]) -> float:
        took = sorted(answer.took_s for answer in answers)
        return round(took[max(0, int(len(took) * 0.99) - 1)] * 1000, 1) if took else 0.0


@asynccontextmanager
async def watched_courses(
    url: str, names: Sequence[str], *, each: int = 2, interval_s: float = INTERVAL_S
) -> AsyncIterator[Courses]:
    """`each` viewers in every course while the block runs."""
    courses = Courses(url, names, each)
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx2.AsyncClient(timeout=5, limits=limits) as client:
        tasks = [
            asyncio.create_task(
                _attend(client, courses, name, f"v{n}", interval_s, (i + n / each) / len(names))
            )
            for i, name in enumerate(names)
            for n in range(each)
        ]
        try:
            yield courses
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in ended), ended


async def _attend(
    client: httpx2.AsyncClient, courses: Courses, name: str, viewer: str, interval_s: float, share: float
) -> None:
    await asyncio.sleep(share * interval_s)
    seq = 0
    while True:
        began, seq = monotonic(), seq + 1
        status, total = 0, 0
        try:
            body = {"viewer_id": viewer, "seq": seq}
            reply = await client.post(f"{courses.url}/v1/courses/{name}/heartbeat", json=body)
            status = reply.status_code
            total = reply.json()["total"] if status == 200 else 0
        except httpx2.HTTPError:
            pass
        courses.answers.append(Answer(name, began, monotonic() - began, status, total))
        await asyncio.sleep(max(0.0, interval_s - (monotonic() - began)))


@dataclass
class Streams:
    """What a stream over all courses was sent: per course every count, in order."""

    counts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def low(self, total: int) -> list[dict[str, Any]]:
        """Counts that are trusted and too low, after the first that was whole (S11)."""
        found = []
        for counts in self.counts.values():
            first = next((n for n, count in enumerate(counts) if count["total"] == total), len(counts))
            found += [c for c in counts[first:] if c["total"] < total and not c["warming"]]
        return found

    def versions_grow(self) -> bool:
        """S8, per course."""
        lists = [[count["version"] for count in counts] for counts in self.counts.values()]
        return all(versions == sorted(versions) for versions in lists)


async def read_on(events: Any, streams: Streams, is_over: Callable[[], bool]) -> None:
    """Reads a stream until it is over, or cancelled."""
    while not is_over():
        event, data = await events.next(within_s=60)
        if event == "count":
            streams.counts.setdefault(data["course_id"], []).append(data)
