"""Every course's minute ends at once: what closing them does to Redis, and to others' heartbeats.

A steady course's minutes are closed when it is swept, which is when a lease has ended, and after its quarter.
Viewers send heartbeats as players do. A small run has short minutes.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing as closed
from contextlib import contextmanager
from itertools import cycle
from typing import ClassVar

from redis import Redis

from presence_svc.model import Heartbeat
from presence_svc.settings import Settings
from presence_svc.store import scripts
from presence_svc.store.write import HeartbeatWrite
from tests import rig
from tests.benchmarks import process
from tests.benchmarks.browser import Page
from tests.benchmarks.change import p99
from tests.benchmarks.history import heartbeats
from tests.benchmarks.redis_cost import KEYS, beats
from tests.benchmarks.row import Figure, Scale
from tests.benchmarks.wire import Wire

SLOW_US = 500
SLOW_CALLS = 512
RENEWALS_S = 25.0  # in which every viewer sends a heartbeat
CHAPTERS = (500, 2_000)  # the default limit of a course, and the setting's maximum
MOST_CHAPTERS = CHAPTERS[-1]
SLOWEST = 5
SHARE = 1 / 6  # of a minute: its beginning
MINUTES = 2
SWEEP = scripts.SWEEP.sha.encode()
Timed = tuple[float, float]  # when a heartbeat began (s since 1970), and the ms that it took


class Briefest(Settings):
    minute_ms: ClassVar[int] = 1_000


@contextmanager
def running(
    kind: type[Settings], writes: Sequence[HeartbeatWrite], env: Mapping[str, str]
) -> Iterator[tuple[str, int]]:
    """A Redis with these viewers, who send heartbeats, and a service on it: its URL and the port."""
    settings = kind(history="PRESENCE_HISTORY" not in env, chapters_per_course=MOST_CHAPTERS)
    with process.redis() as (server, url):
        wire = Wire(server.url)
        wire.call("SCRIPT", "LOAD", scripts.HEARTBEAT.text)
        for batch in heartbeats(settings, writes, 1):
            wire.send(batch)
        port = rig.free_port()
        given = {"PRESENCE_REDIS_URL": url, "PRESENCE_PORT": str(port), **env}
        command = [sys.executable, "-m", "tests.benchmarks.short_minutes", str(kind.minute_ms), "serve"]
        with (
            process.Program(command, port, given),
            Redis.from_url(url) as client,
            renewed(wire, settings, writes),
        ):
            if client.zcard(KEYS.partitions[0].agenda) < len({write.course_id for write in writes}):
                raise RuntimeError("courses are missing")
            yield url, port
        wire.close()


@contextmanager
def renewed(wire: Wire, settings: Settings, writes: Sequence[HeartbeatWrite]) -> Iterator[None]:
    """Meanwhile everybody sends heartbeats, evenly spread, past the service."""
    batches, stopped = list(heartbeats(settings, writes, 2)), threading.Event()

    def renew() -> None:
        for batch in cycle(batches):
            if stopped.wait(RENEWALS_S / len(batches)):
                return
            wire.send(batch)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def beaten(port: int, until: float) -> list[Timed]:
    """One player's heartbeats, one after the other, in a course of its own."""
    took = []
    with closed(Page(port)) as page:
        while (now := time.time()) < until:
            began = time.perf_counter()
            page.heartbeat("course-of-a-player", "user-1")
            took.append((now, (time.perf_counter() - began) * 1000))
            time.sleep(0.001)
    return took


def next_multiple(length_s: float) -> float:
    """When the next minute or quarter of this length begins (s since 1970)."""
    return (int(time.time() / length_s) + 1) * length_s


def of_chapters(many: int) -> list[float]:
    """The slowest calls (ms) that close the minutes of a course with a viewer in each of so many chapters."""
    writes = [HeartbeatWrite("c1", f"u{n}", Heartbeat(chapter_id=f"ch-{n}")) for n in range(many)]
    env = {"PRESENCE_CHAPTERS_PER_COURSE": str(MOST_CHAPTERS)}
    with running(Briefest, writes, env) as (url, _), Redis.from_url(url) as client:
        client.config_set("slowlog-log-slower-than", SLOW_US)
        client.config_set("slowlog-max-len", SLOW_CALLS)
        client.slowlog_reset()
        minute_s = Briefest.minute_ms / 1000
        time.sleep(next_multiple(15 * minute_s) - time.time() + minute_s * many / 200)
        calls = [one for one in client.slowlog_get(SLOW_CALLS) if SWEEP in one["command"]]
    return sorted(one["duration"] / 1000 for one in calls)[-SLOWEST:]


def closing(scale: Scale) -> list[Figure]:
    """A player's heartbeats when minutes end, at other moments, and with HISTORY=off."""
    kind = Settings if scale.crowd > 10_000 else Briefest
    courses = scale.crowd // 10
    writes = [
        HeartbeatWrite(one.course_id, f"user-{n}", one.heartbeat) for n, one in enumerate(beats(courses, 1))
    ]
    with running(kind, writes, {}) as (url, port), Redis.from_url(url) as client:
        client.config_set("slowlog-log-slower-than", SLOW_US)
        client.slowlog_reset()
        begin, rest = _figures(kind, port)
        slow = [entry["duration"] / 1000 for entry in client.slowlog_get(SLOW_CALLS)]
    with running(kind, writes, {"PRESENCE_HISTORY": "off"}) as (_, port):
        off_begin, off_rest = _figures(kind, port)
    return [
        Figure("slowest Redis command", [max(slow, default=SLOW_US / 1000)], "<= 10", "ms"),
        Figure(f"heartbeats p99 when {courses:,} minutes have ended", [begin], "", "ms"),
        Figure("heartbeats p99 at other moments", [rest], "", "ms"),
        Figure("HISTORY=off: p99 when minutes have ended", [off_begin], "", "ms"),
        Figure("HISTORY=off: p99 at other moments", [off_rest], "", "ms"),
        *(Figure(f"a call for a minute of {n:,} chapters", of_chapters(n), "", "ms") for n in CHAPTERS),
    ]


def _figures(kind: type[Settings], port: int) -> tuple[float, float]:
    """p99 in ms for the first part of each minute, and for the rest of it."""
    minute_s = kind.minute_ms / 1000
    begin = next_multiple(minute_s)
    time.sleep(max(0.0, begin - time.time()))
    parts: tuple[list[float], list[float]] = [], []
    for at, took in beaten(port, begin + MINUTES * minute_s):
        parts[(at - begin) % minute_s >= SHARE * minute_s].append(took)
    return p99(parts[0]), p99(parts[1])
