"""Rows 9 and 14: how soon a change is seen after a join and after a crash; how few messages a burst makes."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from statistics import median, quantiles
from typing import Any

from redis import Redis

from presence_svc.store.keys import Keys
from tests.benchmarks import process
from tests.benchmarks.browser import DEADLINE_S, Page
from tests.benchmarks.row import Figure, Scale

COURSES = 40
QUIET_S = 0.4  # longer than PUBLISH_INTERVAL: each join meets a silent course
BURST = 300
SETTLED_S = 1.5
SHORT = {
    "PRESENCE_TTL": "2",
    "PRESENCE_HIDDEN_TTL": "2",
    "PRESENCE_HEARTBEAT_INTERVAL": "1",
    "PRESENCE_LEAVE_GRACE": "0.5",
}
Hear = Callable[[float], dict[str, Any] | None]


def join(scale: Scale) -> list[Figure]:
    """From sending a heartbeat to replica A until its frame has come from replica B, on a silent course."""
    with process.redis() as (_, url), Redis.from_url(url) as client:
        runs = joins(url, scale)
        pings = [_round_trips(client, scale.joins) for _ in range(scale.rounds)]
    return [
        Figure("join to frame, p50", [median(ms) for ms in runs], "<= 5", "ms"),
        Figure("join to frame, p99", [p99(ms) for ms in runs], "<= 20", "ms"),
        Figure("Redis round trip (PING), p50", [median(ms) for ms in pings], "", "ms"),
    ]


def joins(redis_url: str, scale: Scale) -> list[list[float]]:
    """Rounds of joins at two replicas on this Redis, in ms."""
    with ExitStack() as stack:
        a, b = (stack.enter_context(process.service(redis_url, process.LONG_LEASES)) for _ in range(2))
        page = stack.enter_context(closing(Page(a.port)))
        streams = {f"joined-{n}": stack.enter_context(closing(Page(b.port))) for n in range(COURSES)}
        for course_id, stream in streams.items():
            stream.listen(f"/v1/courses/{course_id}/live")
        time.sleep(SETTLED_S)
        present: Counter[str] = Counter()
        return [_joins(page, streams, scale.joins, present) for _ in range(scale.rounds)]


def _joins(page: Page, streams: dict[str, Page], joins: int, present: Counter[str]) -> list[float]:
    """In ms, for as many new viewers, in one course after the other."""
    took = []
    names = list(streams)
    for n in range(joins):
        course_id = names[n % COURSES]
        present[course_id] += 1
        time.sleep(QUIET_S / COURSES)
        began = time.perf_counter()
        page.send(course_id, f"user-{present[course_id]}")
        seen = streams[course_id].wait_for(b'"total":%d,' % present[course_id])
        took.append((seen - began) * 1000)
        page.answer()
    return took


def p99(values: list[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98]


def _round_trips(client: Redis, n: int) -> list[float]:
    took = []
    for _ in range(n):
        began = time.perf_counter()
        client.ping()
        took.append((time.perf_counter() - began) * 1000)
    return took


@contextmanager
def ear(url: str) -> Iterator[Hear]:
    """Hears the messages of all courses: gives the next one that comes within so many seconds, or None."""
    with Redis.from_url(url) as client, closing(client.pubsub(ignore_subscribe_messages=True)) as pubsub:
        pubsub.psubscribe(Keys("presence").every_channel)
        pubsub.get_message(timeout=1.0)

        def hear(seconds: float) -> dict[str, Any] | None:
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                message = pubsub.get_message(timeout=left)
                if message is not None:
                    count: dict[str, Any] = json.loads(message["data"])
                    return count
            return None

        yield hear


def crash(scale: Scale) -> list[Figure]:
    """Viewers who say one heartbeat and no more, one to a course, at moments of no pattern."""
    courses = min(COURSES, scale.joins)
    with process.redis() as (_, url), process.service(url, SHORT) as service, ear(url) as hear:
        late: list[float] = []
        with closing(Page(service.port)) as page:
            ends = {}
            for n in range(courses):
                said = page.heartbeat(f"course-{n}", "user-1")
                ends[said["course_id"]] = said["expires_at"]
                time.sleep(0.037)
        deadline = time.monotonic() + DEADLINE_S
        while len(late) < courses and time.monotonic() < deadline:
            message = hear(1.0)
            if message and not message["total"]:
                late.append(time.time() * 1000 - ends[message["course_id"]])
    if len(late) < courses:
        raise RuntimeError(f"{courses - len(late)} crashes were never published")
    return [Figure("lease end to message", late, "<= 1500", "ms")]


def burst(scale: Scale) -> list[Figure]:
    """A course's start: BURST viewers join, evenly, within one second."""
    with process.redis() as (_, url), process.service(url) as service, ear(url) as hear:
        heard = []
        with closing(Page(service.port)) as page:
            for run in range(scale.rounds):
                began = time.monotonic()
                for n in range(BURST):
                    page.send(f"course-{run}", f"user-{n}")
                    page.answer()
                    time.sleep(max(0.0, began + n / BURST - time.monotonic()))
                messages = 0
                while hear(SETTLED_S) is not None:
                    messages += 1
                heard.append(float(messages))
    return [Figure(f"messages of {BURST} joins in a second", heard, "5", "messages")]
