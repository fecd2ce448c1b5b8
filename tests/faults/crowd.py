"""Viewers as fault tests need them: they beat by HTTP whatever happens, and write down what they saw."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import httpx2

FAST = {
    "PRESENCE_TTL": "2",
    "PRESENCE_HIDDEN_TTL": "4",
    "PRESENCE_HEARTBEAT_INTERVAL": "0.9",
    "PRESENCE_LEAVE_GRACE": "0.5",
    "PRESENCE_SWEEP_INTERVAL": "0.4",
}
TTL_S, INTERVAL_S = 2.0, 0.6


@dataclass
class Answer:
    """One heartbeat's: 0 = no answer at all."""

    at: float
    status: int
    took_s: float


@dataclass
class Log:
    """The client side's truth (I1): every answer, in order of its end."""

    answers: list[Answer] = field(default_factory=list)

    def since(self, moment: float) -> list[Answer]:
        return [answer for answer in self.answers if answer.at - answer.took_s >= moment]

    def statuses(self, since: float = 0.0) -> Counter[int]:
        return Counter(answer.status for answer in self.since(since))

    def p99_ms(self, since: float = 0.0) -> float:
        took = sorted(answer.took_s for answer in self.since(since))
        return round(took[int(len(took) * 0.99) - 1] * 1000, 1) if took else 0.0


@asynccontextmanager
async def crowd(
    urls: Sequence[str], course: str, size: int, *, interval_s: float = INTERVAL_S
) -> AsyncIterator[Log]:
    """`size` viewers beat while the block runs, each at one of the URLs, never faster than asked."""
    log = Log()
    limits = httpx2.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx2.AsyncClient(timeout=5, limits=limits) as client:
        tasks = [
            asyncio.create_task(
                _attend(client, urls[n % len(urls)], course, f"v{n}", n / size * interval_s, interval_s, log)
            )
            for n in range(size)
        ]
        try:
            yield log
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in ended), ended


async def _attend(
    client: httpx2.AsyncClient, url: str, course: str, viewer: str, wait_s: float, interval_s: float, log: Log
) -> None:
    await asyncio.sleep(wait_s)
    seq = 0
    while True:
        began, seq = monotonic(), seq + 1
        try:
            body = {"viewer_id": viewer, "seq": seq}
            status = (await client.post(f"{url}/v1/courses/{course}/heartbeat", json=body)).status_code
        except httpx2.HTTPError:
            status = 0
        now = monotonic()
        log.answers.append(Answer(now, status, now - began))
        await asyncio.sleep(max(0.0, interval_s - (now - began)))


async def count(url: str, course: str) -> dict[str, Any]:
    """The course's count, or what was answered instead."""
    async with httpx2.AsyncClient(timeout=5) as client:
        found: dict[str, Any] = (await client.get(f"{url}/v1/courses/{course}/count")).json()
        return found
