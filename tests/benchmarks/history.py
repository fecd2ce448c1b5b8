"""What history and people cost Redis, both on, each, and both off: per steady heartbeat, join, end, viewer.

All take turns in one run, on servers of their own. Nearly every viewer of a service is in one course: so is
each here, for what a viewer of two courses takes would be shared out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar, NamedTuple

from pydantic import SecretStr

from presence_svc.model import Leave
from presence_svc.settings import Settings
from presence_svc.store import calls, scripts
from presence_svc.store.agenda import Agenda
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.factory import open_link
from presence_svc.store.write import HeartbeatWrite, LeaveWrite, WithSeq
from tests.benchmarks.redis_cost import BATCH, JOINS, KEYS, beats, servers
from tests.benchmarks.row import Figure, Scale
from tests.benchmarks.wire import Batch, Wire, pack, shuffled

WAYS: dict[str, dict[str, Any]] = {
    "both off": {"history": False, "people": False},
    "history on": {"history": True, "people": False},
    "people on": {"history": False, "people": True},
    "both on": {"history": True, "people": True},
}
COURSES = 10
LONG: dict[str, Any] = {"ttl": 600, "hidden_ttl": 600}


class ShortMinutes(Settings):
    """A minute takes a second: then what it held until it was closed is gone."""

    minute_ms: ClassVar[int] = 1_000


class Way(NamedTuple):
    """One server with its settings, and what each operation took in each round, in us."""

    wire: Wire
    settings: Settings
    steady: list[float]
    joins: list[float]
    ends: list[float]


def everybody(viewers: int) -> list[HeartbeatWrite]:
    """Each in one course."""
    return [
        HeartbeatWrite(one.course_id, f"user-{n:06d}", one.heartbeat)
        for n, one in enumerate(beats(COURSES, viewers // COURSES))
    ]


def heartbeats(settings: Settings, ops: Sequence[HeartbeatWrite], seq: int) -> Iterator[Batch]:
    """Joins if `seq` is 1, and else renewals."""
    limits, size = calls.heartbeat_limits(settings), JOINS if seq == 1 else BATCH
    for start in range(0, len(ops), size):
        part: list[WithSeq] = [
            (write, b"$%d\r\n%d\r\n" % (len(str(seq)), seq)) for write in ops[start : start + size]
        ]
        courses = calls.by_course(part, list(range(len(part))))
        yield pack([calls.heartbeat_call(KEYS, limits, part, courses, (), KEYS.partitions[0])])


def leaves(settings: Settings, ops: Sequence[HeartbeatWrite]) -> Iterator[Batch]:
    for start in range(0, len(ops), JOINS):
        part = [LeaveWrite(one.course_id, one.viewer_id, Leave()) for one in ops[start : start + JOINS]]
        name, script, *rest = calls.leave_call(
            KEYS, settings, part, list(range(len(part))), KEYS.partitions[0]
        )
        yield pack([(name, script.sha, *rest)])


@contextmanager
def ways(
    binary: str | None, kind: type[Settings] = Settings
) -> Iterator[dict[str, tuple[EmbeddedServer, Wire, Settings]]]:
    """A server for each way, with its scripts loaded."""
    with ExitStack() as stack:
        made = {}
        for name, chosen in WAYS.items():
            server = stack.enter_context(EmbeddedServer(binary=binary))
            wire = Wire(server.url)
            stack.callback(wire.close)
            for script in (scripts.HEARTBEAT, scripts.LEAVE, scripts.SWEEP):
                wire.call("SCRIPT", "LOAD", script.text)
            made[name] = server, wire, kind(**LONG, **chosen)
        yield made


def measure(binary: str | None, viewers: int, rounds: int) -> dict[str, Way]:
    """Rounds of joins, renewals and ends; the ways take turns within each, in another order every time."""
    people = everybody(viewers)
    with ways(binary) as made:
        found = {name: Way(wire, settings, [], [], []) for name, (_, wire, settings) in made.items()}
        for n in range(rounds):
            order, some = shuffled(found.values(), seed=n), shuffled(people, seed=n)
            for way in order:
                way.joins.append(way.wire.cost_us(heartbeats(way.settings, some, 1), len(some)))
            for way in order:
                way.steady.append(way.wire.cost_us(heartbeats(way.settings, some, 2), len(some)))
            for way in order:
                way.ends.append(way.wire.cost_us(leaves(way.settings, some), len(some)))
                way.wire.call("FLUSHALL")
    return found


def memory(binary: str | None, viewers: int) -> dict[str, tuple[float, float]]:
    """Bytes per viewer of each way: when they have just joined, and when that minute is closed."""
    people, found = shuffled(everybody(viewers)), {}
    with ways(binary, ShortMinutes) as made:
        for name, (server, wire, settings) in made.items():
            given = settings.model_copy(update={"redis_url": SecretStr(server.url)})
            asyncio.run(
                close_minutes(given)
            )  # what a server holds for its scripts and connections is no viewer's
            empty = wire.memory()
            for batch in heartbeats(settings, people, 1):
                wire.send(batch)
            joined = wire.memory()
            if settings.history:
                time.sleep(2.1 * settings.minute_ms / 1000)
                if asyncio.run(close_minutes(given)) < COURSES:
                    raise RuntimeError("a course's minute was not closed")
            found[name] = (joined - empty) / len(people), (wire.memory() - empty) / len(people)
    return found


async def close_minutes(settings: Settings) -> int:
    """All that are over; of how many courses there were any."""
    link, courses = open_link(settings), [f"course-{n}" for n in range(COURSES)]
    agenda, closed = Agenda(link, settings), set[str]()
    for _ in range(50):
        swept = await agenda.sweep(courses)
        closed |= {course for course, one in zip(courses, swept, strict=True) if one.closed}
    await link.close()
    return len(closed)


def cost(scale: Scale) -> list[Figure]:
    """What each way takes, absolutely: the difference is what it costs."""
    figures = []
    for kind, binary in servers():
        found = measure(binary, scale.crowd // 5, max(scale.rounds, 1))
        sizes = memory(binary, scale.crowd // 5)
        off = found["both off"]
        for name, way in found.items():
            what, (joined, later) = f"{kind}, {name}", sizes[name]
            figures += [
                Figure(f"{what}: a steady heartbeat", way.steady, "", "us"),
                Figure(f"{what}: a join", way.joins, "", "us"),
                Figure(f"{what}: an end", way.ends, "", "us"),
                Figure(f"{what}: a viewer who has just joined", [joined], "", "B"),
                Figure(f"{what}: a viewer from the next minute on", [later], "", "B"),
            ]
        ratios = [on / without for on, without in zip(found["both on"].steady, off.steady, strict=True)]
        figures.append(Figure(f"{kind}, both on / both off: a steady heartbeat", ratios, "<= 1.05"))
    return figures
