"""Totals over all courses: the sum, the busiest, exact as counts are (S4); pages; one walk for all."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import pytest

from presence_svc.store import cached_read, census, stats
from tests.cluster_rig import ClusterBackend
from tests.rig import Backend
from tests.store.replica import Replica


@pytest.fixture
def replica(every_backend: Backend | ClusterBackend) -> Replica:
    """On a Cluster the courses lie in many partitions (S15)."""
    return Replica(every_backend.client(protocol=2))


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`later(s)`: all that was read is so much older."""
    passed = [0.0]
    monkeypatch.setattr(cached_read, "monotonic", lambda: monotonic() + passed[0])

    def later(seconds: float) -> None:
        passed[0] += seconds

    return later


async def walks(replica: Replica) -> int:
    """How often Redis was asked for a list of courses."""
    found = await replica.redis.info("commandstats")
    return int(found.get("cmdstat_zscan", {"calls": 0})["calls"])


async def test_totals_of_nothing(replica: Replica) -> None:
    """An empty Redis: zeros, and the moment they hold for."""
    before = await replica.now()
    found = await replica.totals.stats()

    assert (found.total, found.courses, found.top) == (0, 0, [])
    assert before <= found.as_of <= await replica.now()


async def test_totals_say_when_they_cannot_be_trusted(replica: Replica, later: Any) -> None:
    """S11: judged with the walk itself, not by a pulse before it: lost data takes the mark along."""
    await replica.beat("ada")
    unheard = (await replica.totals.stats()).warming
    for partition in replica.keys.partitions:
        await replica.redis.set(partition.since, 1)
    later(2)
    heard = (await replica.totals.stats()).warming
    await replica.redis.delete(replica.keys.partition_of("c1").since)
    later(2)

    assert (unheard, heard) == (True, False)
    assert (await replica.totals.stats()).warming


async def test_totals_add_up(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum over courses, in chunks, with the busiest first and equals by id; the lapsed count nowhere."""
    monkeypatch.setattr(census, "CHUNK", 7)
    await asyncio.gather(*(replica.beat("lapsed", course=f"old-{n}") for n in range(10)))
    await replica.pass_time(61_000)
    beats = [(f"v{v}", f"c{course:02}") for course in range(30) for v in range(1 + course % 4)]
    await asyncio.gather(
        *(replica.beat(viewer, course=course, anonymous=viewer == "v0") for viewer, course in beats)
    )

    found = await replica.totals.stats()
    counted = await replica.census.latest()

    assert (found.total, found.courses) == (len(beats), 30)
    assert len(found.top) == stats.TOP
    top = [(course.total, course.course_id) for course in found.top]
    assert top == sorted(top, key=lambda pair: (-pair[0], pair[1]))
    assert top[0] == (4, "c03")
    assert counted is not None
    assert counted[:3] == (len(beats), 30, 30)


async def test_a_hundred_polls_make_one_walk(
    real_backend: Backend, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dashboards that poll pages and totals, and whoever scrapes: one walk a second, where it is dear."""
    for module in (census, stats):
        monkeypatch.setattr(module, "EXACT_BELOW_S", 0.0)
    replica = Replica(real_backend.client(protocol=2), history=True)
    for n in range(90):
        await replica.beat("ada", course=f"c{n:02}")
    await replica.redis.zadd("presence:seen:0", {f"old-{n:02}": await replica.now() for n in range(90)})
    await replica.redis.config_resetstat()

    def poll() -> list[Any]:
        searches = [replica.totals.search("", 50, None) for _ in range(50)]
        return [*searches, *(replica.totals.stats() for _ in range(50)), replica.census.latest()]

    found = await asyncio.gather(*poll())
    assert {one.as_of for one in found} == {found[0].as_of}
    assert [one.course_id for one in found[0].page] == [f"c{n:02}" for n in range(50)]
    assert await walks(replica) == 2  # of the agenda, and of the courses with a history
    await asyncio.gather(*poll())
    assert await walks(replica) == 2
    later(2)
    await asyncio.gather(*poll())
    assert await walks(replica) == 3  # those with a history are walked twice a minute
    later(60)
    await asyncio.gather(*poll())
    assert await walks(replica) == 5


async def test_a_reading_grows_old(replica: Replica, later: Any) -> None:
    """The totals are read again when they have stood for a second."""
    await replica.beat("ada")
    await replica.totals.stats()
    await replica.beat("bob")
    later(2)

    assert (await replica.totals.stats()).total == 2


async def test_the_totals_are_those_of_now(valkey_backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """S4, S14: who reads after a change reads the change, however short a time ago others have read."""
    for module in (census, stats):  # on a machine under load, too
        monkeypatch.setattr(module, "EXACT_BELOW_S", 60.0)
    made = Replica(valkey_backend.client(protocol=2), people=True)
    found = []
    for viewer in ("ada", "bob"):
        await made.beat(viewer)
        found.append(await made.totals.search("", 10, None))
    await made.leave("ada")
    found.append(await made.totals.search("", 10, None))

    assert [one.total for one in found] == [1, 2, 1]
    assert [one.people for one in found] == [1, 2, 1]
    assert [[course.total for course in one.page or ()] for one in found] == [[1], [2], [1]]


async def test_pages_see_every_course_once(replica: Replica) -> None:
    """By the busiest, then by id: following the cursor to its end, with a search or without."""
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


async def test_pages_hold_every_course_once(real_backend: Backend) -> None:
    """The busiest first, then by id those that have a history; a course just left is among these at once."""
    replica = Replica(real_backend.client(protocol=2), history=True, people=True)
    for n in range(40):
        for viewer in range(1 + n % 3):
            await replica.beat(f"v{viewer}", course=f"busy-{n:02}")
    await replica.beat("ada", course="just-left")
    await replica.leave("ada", course="just-left")
    past = {f"Old-{n:03}": await replica.now() for n in range(300)} | {"busy-07": await replica.now()}
    await replica.redis.zadd("presence:seen:0", past)

    async def walk(text: str = "") -> list[tuple[str, int]]:
        rows, cursor = [], None
        while True:
            page = await replica.totals.search(text, 33, cursor)
            assert page.page is not None
            rows += [(one.course_id, one.total) for one in page.page]
            cursor = page.next_cursor
            if cursor is None:
                return rows

    rows = await walk()
    busy = sorted(((f"busy-{n:02}", 1 + n % 3) for n in range(40)), key=lambda row: (-row[1], row[0]))
    assert rows == busy + [(course, 0) for course in sorted({*past, "just-left"} - {"busy-07"})]
    assert await walk("oLd-1") == [(f"Old-{n}", 0) for n in range(100, 200)]
    assert await walk("no such course") == []


async def test_courses_of_the_past_are_listed_up_to_a_number(
    real_backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H8: a replica's memory is bounded; those with viewers are listed in any case."""
    monkeypatch.setattr(stats, "LISTED", 10)
    replica = Replica(real_backend.client(protocol=2), history=True)
    await replica.beat("ada", course="zoology")
    await replica.redis.zadd("presence:seen:0", {f"old-{n:02}": await replica.now() for n in range(30)})
    found = await replica.totals.search("", 100, None)

    assert [one.course_id for one in found.page or []] == ["zoology", *(f"old-{n:02}" for n in range(10))]


async def test_without_history_nothing_of_the_past_is_walked(real_backend: Backend) -> None:
    """HISTORY=off: what another time has kept is neither read nor listed."""
    replica = Replica(real_backend.client(protocol=2))
    await replica.beat("ada")
    await replica.redis.zadd("presence:seen:0", {"old": await replica.now()})
    await replica.redis.config_resetstat()
    found = await replica.totals.search("", 10, None)

    assert [one.course_id for one in found.page or []] == ["c1"]
    assert await walks(replica) == 1
