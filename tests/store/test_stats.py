"""Totals over all courses: the sum, the active, the busiest, exact as counts are (S4)."""

from __future__ import annotations

import asyncio

import pytest

from presence_svc.store import stats
from tests.cluster_rig import ClusterBackend
from tests.rig import Backend
from tests.store.replica import Replica


@pytest.fixture
def replica(every_backend: Backend | ClusterBackend) -> Replica:
    """On a Cluster the courses lie in many partitions (S15)."""
    return Replica(every_backend.client(protocol=2))


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


async def test_pages_see_every_course_once(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the busiest, then by id: following the cursor to its end, with a search or without."""
    monkeypatch.setattr(stats, "CHUNK", 7)
    beats = [(f"v{v}", f"c{course:02}") for course in range(60) for v in range(1 + course % 3)]
    await asyncio.gather(*(replica.beat(viewer, course=course) for viewer, course in beats))

    async def pages(text: str, limit: int) -> list[tuple[int, str]]:
        found, cursor = [], None
        while True:
            page = await replica.totals.search(text, limit, cursor)
            assert page.page is not None
            assert len(page.page) <= limit
            found += [(one.total, one.course_id) for one in page.page]
            cursor = page.next_cursor
            if cursor is None:
                return found

    everything = await pages("", 200)
    assert len(everything) == 60
    assert everything == sorted(everything, key=lambda one: (-one[0], one[1]))
    assert await pages("", 7) == everything
    assert await pages("C1", 3) == [one for one in everything if one[1].startswith("c1")]
