"""Row 13: a whole crowd's leases end in one millisecond. What it does to Redis, and to others' heartbeats."""

from __future__ import annotations

import time
from contextlib import closing

from redis import Redis

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.benchmarks import process
from tests.benchmarks.browser import Page
from tests.benchmarks.change import p99
from tests.benchmarks.redis_cost import KEYS, fill
from tests.benchmarks.row import Figure, Scale
from tests.benchmarks.wire import Wire, pack

COURSE = "course-0"
STEP = 1_000
AHEAD_MS = 4_000
WATCH_S = 6.0
PLACE = 1 << 42  # a place's stretch of scores, see store/keys.py
SLOW_US = 500


def end_together(server: EmbeddedServer, viewers: int) -> float:
    """Gives every lease of the course the same end, some seconds from now; returns it (s since 1970)."""
    wire = Wire(server.url)
    keys = KEYS.course(COURSE)
    places = [member.decode().split(" ", 1) for member in wire.call("ZRANGE", keys.places, 0, -1)]
    end = int(time.time() * 1000) + AHEAD_MS
    for start in range(0, viewers, STEP):
        some = places[start : start + STEP]
        alike: list[object] = [part for _, viewer in some for part in (end, viewer)]
        there: list[object] = []
        for place, viewer in some:
            there += (int(place) * PLACE + end, f"{place} {viewer}")
        commands = [("ZADD", keys.viewers, "XX", *alike), ("ZADD", keys.places, "XX", *there)]
        expire = [("PEXPIREAT", KEYS.viewer(COURSE, viewer), end) for _, viewer in some]
        wire.send(pack([*commands, *expire]))
    wire.call("ZADD", KEYS.partitions[0].agenda, end, COURSE)
    wire.call("CONFIG", "SET", "slowlog-log-slower-than", SLOW_US)
    wire.call("SLOWLOG", "RESET")
    wire.close()
    return end / 1000


def heartbeats_ms(page: Page, until: float) -> list[float]:
    """How long each of one player's heartbeats takes, one after the other, in another course."""
    took = []
    while time.time() < until:
        began = time.perf_counter()
        page.heartbeat("course-1", "user-1")
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(0.001)
    return took


def purge(scale: Scale) -> list[Figure]:
    quiet, busy, slowest = [], [], []
    for _ in range(min(3, scale.rounds)):
        with process.redis() as (server, url), Redis.from_url(url) as client:
            wire = Wire(server.url)
            fill(wire, 1, scale.crowd)
            wire.close()
            with process.service(url, process.LONG_LEASES) as service, closing(Page(service.port)) as page:
                end = end_together(server, scale.crowd)
                quiet.append(p99(heartbeats_ms(page, end - 0.1)))
                busy.append(p99(heartbeats_ms(page, end + WATCH_S)))
                slow = [entry["duration"] / 1000 for entry in client.slowlog_get(128)]
                slowest.append(max(slow, default=SLOW_US / 1000))
                left = client.zcard(KEYS.course(COURSE).viewers)
        if left:
            raise RuntimeError(f"{left} viewers have not been swept within {WATCH_S} s")
    who = f"{scale.crowd:,} expire at once"
    return [
        Figure(f"{who}: slowest Redis command", slowest, "", "ms"),
        Figure("others' heartbeats p99 meanwhile", busy, "", "ms"),
        Figure("others' heartbeats p99 before", quiet, "", "ms"),
    ]
