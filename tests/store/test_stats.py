"""Totals over all courses: the sum, the active, the busiest, exact as counts are (S4)."""

from __future__ import annotations

import asyncio

import pytest

from presence_svc.store import stats
from tests.store.replica import Replica


async def test_totals_of_nothing(replica: Replica) -> None:
    """An empty Redis: zeros, and the moment they hold for."""
    before = await replica.now()
    found = await replica.totals.stats()

    assert (found.total, found.courses, found.top) == (0, 0, [])
    assert before <= found.as_of <= await replica.now()


async def test_totals_add_up(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum over courses, in chunks, with the busiest first and equals by id; the lapsed count nowhere."""
    monkeypatch.setattr(stats, "CHUNK", 7)
    await asyncio.gather(*(replica.beat("lapsed", course=f"old-{n}") for n in range(10)))
    await replica.pass_time(61_000)
    beats = [(f"v{v}", f"c{course:02}") for course in range(30) for v in range(1 + course % 4)]
    await asyncio.gather(*(replica.beat(viewer, course=course) for viewer, course in beats))

    found = await replica.totals.stats()

    assert (found.total, found.courses) == (len(beats), 30)
    assert len(found.top) == stats.TOP
    top = [(course.total, course.course_id) for course in found.top]
    assert top == sorted(top, key=lambda pair: (-pair[0], pair[1]))
    assert top[0] == (4, "c03")


async def test_callers_share_a_reading(replica: Replica) -> None:
    """Within a second all callers get one reading: a dashboard costs no more for being watched by many."""
    await replica.beat("ada")
    first = await asyncio.gather(*(replica.totals.stats() for _ in range(20)))
    await replica.beat("bob")
    second = await replica.totals.stats()

    assert {found.as_of for found in first} == {second.as_of}


async def test_a_reading_grows_old(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """After FRESH_S the totals are read again."""
    await replica.beat("ada")
    monkeypatch.setattr(stats, "FRESH_S", 0.0)
    monkeypatch.setattr(stats, "SHARE", 0)
    await replica.totals.stats()
    await replica.beat("bob")

    assert (await replica.totals.stats()).total == 2
