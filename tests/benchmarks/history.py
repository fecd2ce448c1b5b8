"""What history and people cost Redis: processor time per steady heartbeat, join and end, bytes per viewer.

On and off take turns in one run, on servers of their own: figures are what on costs more than off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from presence_svc.model import Leave
from presence_svc.settings import Settings
from presence_svc.store import calls, scripts
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.write import HeartbeatWrite, LeaveWrite, WithSeq
from tests.benchmarks.redis_cost import BATCH, KEYS, beats, servers
from tests.benchmarks.row import Figure, Scale
from tests.benchmarks.wire import Batch, Wire, pack, shuffled

WAYS = {
    "off": Settings(ttl=600, hidden_ttl=600, history=False, people=False),
    "history": Settings(ttl=600, hidden_ttl=600, history=True, people=False),
    "people": Settings(ttl=600, hidden_ttl=600, history=False, people=True),
    "both": Settings(ttl=600, hidden_ttl=600, history=True, people=True),
}
COURSES = 10


class Way(NamedTuple):
    """One server with its settings, and what it took in each round."""

    wire: Wire
    settings: Settings
    steady: list[float]
    joins: list[float]
    ends: list[float]
    bytes_each: list[float]


def heartbeats(settings: Settings, ops: Sequence[HeartbeatWrite], seq: int) -> Iterator[Batch]:
    for start in range(0, len(ops), BATCH):
        part: list[WithSeq] = [
            (write, b"$%d\r\n%d\r\n" % (len(str(seq)), seq)) for write in ops[start : start + BATCH]
        ]
        courses = calls.by_course(part, list(range(len(part))))
        yield pack([calls.heartbeat_call(KEYS, settings, part, courses, (), KEYS.partitions[0])])


def leaves(settings: Settings, ops: Sequence[HeartbeatWrite]) -> Iterator[Batch]:
    for start in range(0, len(ops), BATCH):
        part = [LeaveWrite(one.course_id, one.viewer_id, Leave()) for one in ops[start : start + BATCH]]
        name, script, *rest = calls.leave_call(
            KEYS, settings, part, list(range(len(part))), KEYS.partitions[0]
        )
        yield pack([(name, script.sha, *rest)])


def measure(binary: str | None, viewers: int, rounds: int) -> dict[str, Way]:
    """Rounds of joins, renewals and ends; the ways take turns within each, in another order every time."""
    everybody = beats(COURSES, viewers // COURSES)
    with ExitStack() as stack:
        ways: dict[str, Way] = {}
        for name, settings in WAYS.items():
            wire = Wire(stack.enter_context(EmbeddedServer(binary=binary)).url)
            stack.callback(wire.close)
            for script in (scripts.HEARTBEAT, scripts.LEAVE):
                wire.call("SCRIPT", "LOAD", script.text)
            ways[name] = Way(wire, settings, [], [], [], [])
        for n in range(rounds):
            order = shuffled(ways.values(), seed=n)
            some = shuffled(everybody, seed=n)
            for way in order:
                before = way.wire.memory()
                way.joins.append(way.wire.cost_us(heartbeats(way.settings, some, 1), len(some)))
                way.bytes_each.append((way.wire.memory() - before) / len(some))
            for way in order:
                way.steady.append(way.wire.cost_us(heartbeats(way.settings, some, 2), len(some)))
            for way in order:
                way.ends.append(way.wire.cost_us(leaves(way.settings, some), len(some)))
                way.wire.call("FLUSHALL")
    return ways


def cost(scale: Scale) -> list[Figure]:
    """What each way takes beside off, in the same rounds."""
    figures = []
    for kind, binary in servers():
        ways = measure(binary, scale.crowd // 5, max(scale.rounds, 1))
        off = ways["off"]
        for name, way in ways.items():
            if name == "off":
                figures.append(Figure(f"{kind}, off: steady heartbeat", off.steady, "", "us"))
                continue
            aim = "<= 1.05" if name == "history" else ""
            figures += [
                Figure(f"{kind}, {name}: steady heartbeat", _ratios(way.steady, off.steady), aim),
                Figure(f"{kind}, {name}: a join more", _more(way.joins, off.joins), "", "us"),
                Figure(f"{kind}, {name}: an end more", _more(way.ends, off.ends), "", "us"),
                Figure(
                    f"{kind}, {name}: bytes per viewer more", _more(way.bytes_each, off.bytes_each), "", "B"
                ),
            ]
    return figures


def _ratios(ours: list[float], others: list[float]) -> list[float]:
    return [one / other for one, other in zip(ours, others, strict=True)]


def _more(ours: list[float], others: list[float]) -> list[float]:
    return [max(0.0, one - other) for one, other in zip(ours, others, strict=True)]
