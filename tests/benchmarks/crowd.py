"""Rows 10 and 11: a very large course beside a very small one, and what nobody at all costs."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.benchmarks import process
from tests.benchmarks.load import Load
from tests.benchmarks.rate import Side, in_turn
from tests.benchmarks.redis_cost import fill
from tests.benchmarks.row import Figure, Scale
from tests.benchmarks.wire import Wire

SMALL = 10
IDLE_S = 10.0


def size(scale: Scale) -> list[Figure]:
    """Reads and heartbeats of a course with `crowd` viewers and of one with ten; replica and Redis."""
    with ExitStack() as stack:
        reads, beats = [], []
        for viewers in (scale.crowd, SMALL):
            server, url = stack.enter_context(process.redis())
            wire = Wire(server.url)
            fill(wire, 1, viewers)
            wire.close()
            service = stack.enter_context(process.service(url, process.LONG_LEASES))
            count = Load(f"{service.url}/v1/courses/course-0/count", "get")
            reads.append(Side(stack.enter_context(count), service.pid, server.pid))
            beat = Load(service.url, "heartbeat", courses=1, viewers=viewers)
            beats.append(Side(stack.enter_context(beat), service.pid, server.pid))
        counted, heard = in_turn(reads[0], reads[1], scale), in_turn(beats[0], beats[1], scale)
    name = f"{scale.crowd:,} viewers / {SMALL}"
    return [
        Figure(f"count, {name}, rates", [p.ours.rate / p.theirs.rate for p in counted], "1"),
        Figure(f"count, {name}, cost", [p.ours.us_with_redis / p.theirs.us_with_redis for p in counted], "1"),
        Figure(
            f"heartbeat, {name}, cost", [p.ours.us_with_redis / p.theirs.us_with_redis for p in heard], ""
        ),
    ]


def idle(scale: Scale) -> list[Figure]:
    """A replica to which nobody speaks, and its Redis."""
    with process.redis() as (server, url), process.service(url) as service:
        time.sleep(min(2.0, scale.seconds))
        shares: dict[int, list[float]] = {service.pid: [], server.pid: []}
        seconds = min(IDLE_S, 2 * scale.seconds)
        for _ in range(min(3, scale.rounds)):
            before = {pid: process.cpu_s(pid) for pid in shares}
            time.sleep(seconds)
            for pid, used in before.items():
                shares[pid].append((process.cpu_s(pid) - used) / seconds * 100)
        return [
            Figure("idle replica, of a core", shares[service.pid], "< 0.5", "%"),
            Figure("idle Redis, of a core", shares[server.pid], "< 0.5", "%"),
        ]
