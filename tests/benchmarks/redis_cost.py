"""What a heartbeat costs Redis: processor time beside a bare SET PX + ZADD, bytes per viewer, flat or not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from presence_svc.model import Heartbeat
from presence_svc.settings import Settings
from presence_svc.store import batch, scripts
from presence_svc.store.embedded import EmbeddedServer
from presence_svc.store.keys import Keys
from presence_svc.store.turn import Beat, turn

from .wire import Batch, Wire, pack, shuffled

SETTINGS = Settings(ttl=600, hidden_ttl=600)
KEYS = Keys("presence")
BATCH = 100


def beats(courses: int, viewers: int, seq: int | None = None) -> list[Beat]:
    """Every viewer of every course once: a name, a picture, one of eight chapters."""
    return [
        Beat(
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


def ours(ops: list[Beat], size: int = BATCH) -> Iterator[Batch]:
    """Heartbeats as the committer sends them."""
    for start in range(0, len(ops), size):
        part = [turn(KEYS, beat) for beat in ops[start : start + size]]
        courses = batch.by_course(part, list(range(len(part))))
        yield pack([batch.heartbeat_call(KEYS, SETTINGS, part, courses, ())])


def bare(ops: list[Beat], size: int = BATCH) -> Iterator[Batch]:
    """The least that anybody's presence could do: a key with a lease and a score."""
    for start in range(0, len(ops), size):
        commands: list[tuple[object, ...]] = []
        for course_id, viewer_id, said in ops[start : start + size]:
            commands.append(("SET", f"bare:{course_id}:{viewer_id}", said.name, "PX", 600_000))
            commands.append(("ZADD", f"bare:{course_id}", int(time.time() * 1000) + 600_000, viewer_id))
        yield pack(commands)


def steady(binary: str | None, courses: int, viewers: int, rounds: int = 5) -> list[float]:
    """Ratios of our processor time per steady heartbeat to the bare one's, paired."""
    ratios = []
    with EmbeddedServer(binary=binary) as server:
        wire = Wire(server.url)
        wire.call("SCRIPT", "LOAD", scripts.HEARTBEAT.text)
        everybody = beats(courses, viewers)
        for part in (ours(everybody), bare(everybody)):
            wire.cost_us(part, len(everybody))
        some = shuffled(everybody)[:40_000]
        for n in range(rounds):
            again = [b._replace(said=b.said.model_copy(update={"seq": n})) for b in some]
            mine, theirs = wire.cost_us(ours(again), len(again)), wire.cost_us(bare(again), len(again))
            print(
                f"   {courses} x {viewers}: ours {mine:.2f} us, bare {theirs:.2f} us, {mine / theirs:.2f} x"
            )
            ratios.append(mine / theirs)
        wire.close()
    return ratios


def bytes_per_viewer(binary: str | None, viewers: int = 10_000) -> float:
    """What `viewers` of one course add to used_memory, each."""
    with EmbeddedServer(binary=binary) as server:
        wire = Wire(server.url)
        wire.call("SCRIPT", "LOAD", scripts.HEARTBEAT.text)
        before = wire.memory()
        for one in ours(beats(1, viewers, seq=1)):
            wire.send(one)
        used = wire.memory() - before
        wire.close()
    return used / viewers


if __name__ == "__main__":
    import shutil

    for name, path in (("redis", shutil.which("redis-server")), ("valkey", None)):
        print(name, "bytes per viewer", bytes_per_viewer(path))
        for shape in ((1, 10_000), (100, 1_000)):
            print(name, shape, f"{median(steady(path, *shape)):.2f} x")
