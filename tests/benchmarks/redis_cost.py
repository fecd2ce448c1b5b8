"""Rows 5 and 6: what a heartbeat costs Redis beside a bare SET PX + ZADD, and what a viewer takes there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

from presence_svc.model import Heartbeat
from presence_svc.settings import Settings
from presence_svc.store import calls, scripts
from presence_svc.store.keys import Keys
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.write import HeartbeatWrite, WithSeq
from tests.benchmarks.row import Figure, Missing, Scale
from tests.benchmarks.wire import Batch, Wire, pack, shuffled

LIMITS = calls.heartbeat_limits(Settings(ttl=600, hidden_ttl=600))
KEYS = Keys("presence")
BATCH = 100
JOINS = 50  # in a call, which does not come to all of them if they are many more
STEADY = 40_000


def servers() -> list[tuple[str, str | None]]:
    """Every kind that is installed: its name and binary. Raises Missing."""
    redis = shutil.which("redis-server")
    if redis is None:
        raise Missing("redis-server is not installed (Debian: redis-server)")
    return [("Redis 7.0", redis), ("Valkey", None)]


def beats(courses: int, viewers: int, seq: int | None = None) -> list[HeartbeatWrite]:
    """Every viewer of every course once: a name, a picture, one of eight chapters."""
    return [
        HeartbeatWrite(
            f"course-{c}",
            f"user-{v:06d}",
            Heartbeat(
                name=f"Ada Lovelace {v % 1000}",
                avatar_url=f"https://example.com/a/{v:06d}.png",
                chapter_id=f"ch-{v % 8}",
                seq=seq,
            ),
        )
        for c in range(courses)
        for v in range(viewers)
    ]


def ours(ops: list[HeartbeatWrite], size: int = BATCH) -> Iterator[Batch]:
    """Heartbeats as group commit sends them."""
    for start in range(0, len(ops), size):
        part: list[WithSeq] = [(write, write.seq) for write in ops[start : start + size]]
        courses = calls.by_course(part, list(range(len(part))))
        yield pack([calls.heartbeat_call(KEYS, LIMITS, part, courses, (), KEYS.partitions[0])])


def bare(ops: list[HeartbeatWrite], size: int = BATCH) -> Iterator[Batch]:
    """The least that anybody's presence could do: a key with a lease and a score."""
    for start in range(0, len(ops), size):
        commands: list[tuple[object, ...]] = []
        for write in ops[start : start + size]:
            course_id, viewer_id, said = write.course_id, write.viewer_id, write.heartbeat
            commands.append(("SET", f"bare:{course_id}:{viewer_id}", said.name, "PX", 600_000))
            commands.append(("ZADD", f"bare:{course_id}", int(time.time() * 1000) + 600_000, viewer_id))
        yield pack(commands)


def fill(wire: Wire, courses: int, viewers: int) -> None:
    """Everybody says their first heartbeat."""
    wire.call("SCRIPT", "LOAD", scripts.HEARTBEAT.text)
    for one in ours(beats(courses, viewers, seq=1), JOINS):
        wire.send(one)


def steady(binary: str | None, courses: int, viewers: int, rounds: int) -> list[tuple[float, float]]:
    """Processor time of Redis in us per steady heartbeat, ours and the bare one, paired."""
    pairs = []
    with EmbeddedServer(binary=binary) as server:
        wire = Wire(server.url)
        everybody = beats(courses, viewers)
        fill(wire, courses, viewers)
        for part in bare(everybody):
            wire.send(part)
        some = shuffled(everybody)[:STEADY]
        for n in range(2, rounds + 2):
            again = [
                HeartbeatWrite(b.course_id, b.viewer_id, b.heartbeat.model_copy(update={"seq": n}))
                for b in some
            ]
            pairs.append((wire.cost_us(ours(again), len(again)), wire.cost_us(bare(again), len(again))))
        wire.close()
    return pairs


def cost(scale: Scale) -> list[Figure]:
    one, many = (1, scale.crowd // 10), (scale.courses, scale.viewers)
    figures = []
    for name, binary in servers():
        for courses, viewers in (one, many):
            pairs = steady(binary, courses, viewers, scale.rounds)
            what = f"{name}, {courses:,} x {viewers:,}"
            figures += [
                Figure(what, [ours / bare for ours, bare in pairs], "<= 1.5"),
                Figure(f"{what}, a heartbeat", [ours for ours, _ in pairs], "", "us"),
            ]
    return figures


def parts(wire: Wire, viewers: int) -> dict[str, float]:
    """Bytes per viewer in each structure, by MEMORY USAGE of all there is in it."""
    course = KEYS.course("course-0")
    hashes = [KEYS.viewer("course-0", f"user-{v:06d}") for v in range(viewers)]
    used = wire.send(pack([("MEMORY", "USAGE", key, "SAMPLES", 0) for key in (*hashes, *course)]))
    sizes = [int(size or 0) / viewers for size in used]
    named = zip(course._fields, sizes[viewers:], strict=True)
    return {"viewer hash": sum(sizes[:viewers]), **dict(named)}


def memory(scale: Scale) -> list[Figure]:
    """What the viewers of one course add to used_memory, each."""
    viewers = scale.crowd // 10
    figures = []
    for name, binary in servers():
        with EmbeddedServer(binary=binary) as server:
            wire = Wire(server.url)
            before = wire.memory()
            fill(wire, 1, viewers)
            used = (wire.memory() - before) / viewers
            figures.append(Figure(f"{name}, {viewers:,} viewers", [used], "<= 450", "B"))
            figures += [
                Figure(f"{name}, {part}", [size], "", "B")
                for part, size in parts(wire, viewers).items()
                if size >= 1
            ]
            wire.close()
    return figures
