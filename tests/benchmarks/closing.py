"""Every course's minute ends at once: what closing them does to Redis, and to others' heartbeats.

Closings are spread over the first half of the next minute. A small run has short minutes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing as closed
from contextlib import contextmanager
from functools import partial
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
SHARE = 0.5  # of a minute: the part in which the one before is closed
LONGEST_S = 60.0
ENDS = 2  # of minutes
CHAPTERS = (500, 2_000)  # the default limit of a course, and the setting's maximum
MOST_CHAPTERS = CHAPTERS[-1]
MINUTES = 5
SWEEP = scripts.SWEEP.sha.encode()
Timed = tuple[float, float]  # when a heartbeat began (s since 1970), and the ms that it took


class Briefest(Settings):
    minute_ms: ClassVar[int] = 1_000


@contextmanager
def running(
    kind: type[Settings], writes: Sequence[HeartbeatWrite], env: Mapping[str, str]
) -> Iterator[tuple[str, int]]:
    """A Redis with these viewers, and a service on it: the one's URL, the other's port."""
    kept = "PRESENCE_HISTORY" not in env
    settings = kind(ttl=600, hidden_ttl=600, history=kept, chapters_per_course=MOST_CHAPTERS)
    with process.redis() as (server, url):
        wire = Wire(server.url)
        wire.call("SCRIPT", "LOAD", scripts.HEARTBEAT.text)
        for batch in heartbeats(settings, writes, 1):
            wire.send(batch)
        wire.close()
        port = rig.free_port()
        given = {"PRESENCE_REDIS_URL": url, "PRESENCE_PORT": str(port), **process.LONG_LEASES, **env}
        command = [sys.executable, "-m", "tests.benchmarks.short_minutes", str(kind.minute_ms), "serve"]
        with process.Program(command, port, given):
            yield url, port


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


def all_closed_after_s(client: Redis, minute_s: float) -> float:
    """Waits for a minute's end, and until all courses are closed: these are looked at a minute later."""
    end = (int(time.time() / minute_s) + 1) * minute_s
    time.sleep(max(0.0, end + 0.01 - time.time()))
    while client.zcount(KEYS.partitions[0].agenda, "-inf", f"({(end + minute_s) * 1000:.0f}"):
        if time.time() - end > LONGEST_S:
            raise RuntimeError("courses stay open")
        time.sleep(0.02)
    return time.time() - end


def of_chapters(many: int) -> list[float]:
    """The slowest calls (ms) that close a minute of one course with a viewer in each of so many chapters."""
    writes = [HeartbeatWrite("c1", f"u{n}", Heartbeat(chapter_id=f"ch-{n}")) for n in range(many)]
    env = {"PRESENCE_CHAPTERS_PER_COURSE": str(MOST_CHAPTERS)}
    with running(Briefest, writes, env) as (url, _), Redis.from_url(url) as client:
        client.config_set("slowlog-log-slower-than", SLOW_US)
        client.slowlog_reset()
        time.sleep(MINUTES + 0.5)
        calls = [one for one in client.slowlog_get(128) if SWEEP in one["command"]]
    return sorted(one["duration"] / 1000 for one in calls)[-MINUTES:]


def closing(scale: Scale) -> list[Figure]:
    """A player's heartbeats while minutes are closed, after that, and with HISTORY=off."""
    kind = Settings if scale.crowd > 10_000 else Briefest
    courses, minute_s, ends = scale.crowd // 10, kind.minute_ms / 1000, min(ENDS, scale.rounds)
    measured = partial(_figures, minute_s=minute_s, ends=ends)
    writes = beats(courses, 1)
    with running(kind, writes, {}) as (url, port), Redis.from_url(url) as client:
        after = all_closed_after_s(client, minute_s)
        client.config_set("slowlog-log-slower-than", SLOW_US)
        client.slowlog_reset()
        meanwhile, between = measured(port)
        slow = [entry["duration"] / 1000 for entry in client.slowlog_get(128)]
    with running(kind, writes, {"PRESENCE_HISTORY": "off"}) as (_, port):
        off_then, off_between = measured(port)
    return [
        Figure(f"{courses:,} courses: all are closed after", [after], "", "s"),
        Figure("slowest Redis command", [max(slow, default=SLOW_US / 1000)], "<= 10", "ms"),
        Figure("heartbeats p99 meanwhile", meanwhile, "", "ms"),
        Figure("heartbeats p99 after that", between, "", "ms"),
        Figure("HISTORY=off: p99 at the same moments", off_then, "", "ms"),
        Figure("HISTORY=off: p99 after that", off_between, "", "ms"),
        *(Figure(f"a call for a minute of {n:,} chapters", of_chapters(n), "", "ms") for n in CHAPTERS),
    ]


def _figures(port: int, *, minute_s: float, ends: int) -> tuple[list[float], list[float]]:
    """p99 in ms for the first part of each minute, and for the rest of it."""
    begin = (int(time.time() / minute_s) + 1) * minute_s
    time.sleep(max(0.0, begin - time.time()))
    timed = beaten(port, begin + ends * minute_s)
    first: list[list[float]] = [[] for _ in range(ends)]
    rest: list[list[float]] = [[] for _ in range(ends)]
    for at, took in timed:
        minute, past = divmod(at - begin, minute_s)
        (first if past < SHARE * minute_s else rest)[min(ends - 1, int(minute))].append(took)
    return [p99(each) for each in first], [p99(each) for each in rest]
