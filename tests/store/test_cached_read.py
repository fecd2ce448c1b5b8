"""A reading that all share: one at a time, however many ask; a failure is for all alike, and is not kept."""

from __future__ import annotations

import asyncio

import pytest

from presence_svc.errors import Unavailable
from presence_svc.store import cached_read
from presence_svc.store.cached_read import CachedRead


class Source:
    """Counts how often it is read; waits for `gate`, and fails while `fails`."""

    def __init__(self) -> None:
        self.reads = 0
        self.fails = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()

    async def read(self) -> int:
        self.reads += 1
        self.begun.set()
        await self.gate.wait()
        if self.fails:
            raise Unavailable("away")
        return self.reads


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that readings go by, in its only place."""
    now = [1_000.0]
    monkeypatch.setattr(cached_read, "monotonic", lambda: now[0])
    return now


async def test_all_who_ask_share_one(clock: list[float]) -> None:
    """While it is under way, and for as long as its answer stands; then it is made again."""
    source = Source()
    shared = CachedRead(source.read, 1.0)

    assert await asyncio.gather(*(shared.get() for _ in range(50))) == [1] * 50
    clock[0] += 0.9
    assert await shared.get() == 1
    clock[0] += 0.2
    assert await asyncio.gather(*(shared.get() for _ in range(50))) == [2] * 50


async def test_what_takes_long_stands_longer(clock: list[float]) -> None:
    """A reading of two seconds stands ten: whoever polls keeps Redis busy for a sixth of the time at most."""

    async def slow() -> int:
        clock[0] += 2
        return round(clock[0])

    shared = CachedRead(slow, 1.0)
    first = await shared.get()
    clock[0] += 9.9
    assert await shared.get() == first
    clock[0] += 0.2
    assert await shared.get() > first


async def test_a_failure_is_for_all_who_wait_and_not_for_later(clock: list[float]) -> None:
    """One attempt, not one after the other for each; the next to ask tries again."""
    source = Source()
    source.fails = True
    shared = CachedRead(source.read, 1.0)
    failed = await asyncio.gather(*(shared.get() for _ in range(20)), return_exceptions=True)
    source.fails = False

    assert [type(one) for one in failed] == [Unavailable] * 20
    assert await shared.get() == 2


async def test_whoever_gives_up_takes_it_from_nobody(clock: list[float]) -> None:
    """A client that goes ends its own waiting only."""
    source = Source()
    source.gate.clear()
    shared = CachedRead(source.read, 1.0)
    first, second = (asyncio.create_task(shared.get()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    source.gate.set()

    assert await second == 1


async def test_the_latest_waits_no_longer_than_told(clock: list[float]) -> None:
    """A slow reading, or none: what was read before, until it is stale; nothing is no zero."""
    source = Source()
    shared = CachedRead(source.read, 1.0)
    assert await shared.latest(wait_s=5, stale_s=60) == 1
    source.gate.clear()
    clock[0] += 30
    assert await shared.latest(wait_s=0.01, stale_s=60) == 1
    clock[0] += 31
    assert await shared.latest(wait_s=0.01, stale_s=60) is None
    await shared.close()


async def test_what_is_cheap_is_read_for_whoever_asks(clock: list[float]) -> None:
    """S4: who asks while a read is under way shares the next one, which sees what has changed since."""
    source = Source()
    exact = CachedRead(source.read, 1.0, exact_below_s=0.03)
    assert await exact.get() == 1
    assert await exact.get() == 2
    source.gate.clear()
    source.begun.clear()
    early = asyncio.create_task(exact.get())
    await source.begun.wait()
    late = [asyncio.create_task(exact.get()) for _ in range(50)]
    await asyncio.sleep(0)
    source.gate.set()

    assert await early == 3
    assert await asyncio.gather(*late) == [4] * 50


async def test_what_is_not_cheap_any_more_is_shared(clock: list[float]) -> None:
    """Load bounds itself: a read that took long is reused, also by those who asked while it was under way."""
    source = Source()
    source.gate.clear()
    exact = CachedRead(source.read, 1.0, exact_below_s=0.03)
    early = asyncio.create_task(exact.get())
    await source.begun.wait()
    late = asyncio.create_task(exact.get())
    await asyncio.sleep(0)
    clock[0] += 0.04
    source.gate.set()

    assert [await early, await late, await exact.get()] == [1, 1, 1]
