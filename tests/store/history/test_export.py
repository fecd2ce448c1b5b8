"""The export on a Cluster: a log per partition, one read behind the other, and nothing skipped (S13, S15)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from presence_svc.store.history.answers import HistoryAnswers
from presence_svc.store.history.closed_logs import SKEW_MS
from presence_svc.store.history.export import Export
from presence_svc.store.history.model import ExportRow
from tests.cluster_rig import Cluster, ClusterBackend
from tests.store.history import clock
from tests.store.history.clock import MINUTE, QUARTER, START
from tests.store.history.raw import read
from tests.store.replica import Replica

COURSES = [f"c{n}" for n in range(24)]


@pytest.fixture
async def replica(shared_cluster: Cluster) -> AsyncIterator[Replica]:
    """On a Cluster with eight partitions, at the beginning of a day."""
    with clock.turned_clock(on_a_cluster=True):
        async with ClusterBackend(shared_cluster) as servers:
            made = clock.replica(servers.client())
            await clock.set_clock(made.redis, START)
            for partition in made.keys.partitions:  # somebody has looked all the time, and will
                always = {"first": START - 9 * QUARTER, "last": START + 99 * QUARTER}
                await made.redis.hset(partition.heard, mapping=always)
            yield made


def export_of(replica: Replica) -> Export:
    return Export(replica.link, replica.settings, HistoryAnswers(replica.link, replica.settings).reader)


async def walk(export: Export, limit: int, cursor: str | None = None) -> tuple[list[ExportRow], str]:
    rows: list[ExportRow] = []
    while True:
        page = await export.page(cursor, limit)
        if not page.rows:
            return rows, page.cursor
        rows, cursor = rows + page.rows, page.cursor


async def close(replica: Replica, now: int) -> None:
    """All that can be closed by then, is."""
    await clock.set_clock(replica.redis, now)
    for _ in range(20):
        swept = await replica.agenda.sweep(COURSES)
        if all(not one.next_due or one.next_due > now for one in swept):
            return
    raise AssertionError(f"the agenda never comes to rest: {swept} {now}")


async def beat(replica: Replica, now: int, viewer: str) -> None:
    """One viewer in every course, from this moment on."""
    await clock.set_clock(replica.redis, now)
    await asyncio.gather(*(replica.beat(viewer, course=course, chapter="ch-1") for course in COURSES))


async def test_pages_go_through_all_partitions(replica: Replica) -> None:
    """Whatever the limit and from whatever cursor: each row once, quarter by quarter, as it is kept."""
    for n in range(4):
        await beat(replica, START + n * QUARTER + 5 * MINUTE, f"v{n}")
        await close(replica, START + (n + 1) * QUARTER + MINUTE + 1)
    await close(replica, START + 12 * QUARTER)
    await clock.set_clock(replica.redis, START + 14 * QUARTER)
    export = export_of(replica)
    everything, _ = await walk(export, 10_000)
    kept = await read(replica.redis)

    for limit in (5, 100):
        assert (await walk(export, limit))[0] == everything
    half = await export.page(None, len(everything) // 2)
    assert half.rows + (await walk(export, 30, half.cursor))[0] == everything
    assert {
        ((row.course_id, row.chapter_id or ""), row.t // QUARTER): (row.peak, row.viewer_minutes)
        for row in everything
    } == {key: (one.peak, round(one.area / 60_000, 3)) for key, one in kept.quarters.items()}
    assert len({row.key for row in everything}) == len(everything) == len(kept.quarters) > 300
    assert len({replica.keys.partition_of(row.course_id).number for row in everything}) == clock.PARTITIONS
    assert [row.closed_at // QUARTER for row in everything] == sorted(
        row.closed_at // QUARTER for row in everything
    )
    assert not any(row.partial for row in everything)


async def test_a_partition_has_its_own_gaps(replica: Replica) -> None:
    """S13: while one master was away nobody heard its courses: their rows are partial, and no others."""
    lost = replica.keys.partition_of("c1")
    await beat(replica, START + MINUTE, "ada")
    await replica.redis.rpush(lost.gaps, f"{START + MINUTE} {START + 3 * MINUTE}")
    await close(replica, START + 2 * QUARTER)
    await clock.set_clock(replica.redis, START + 4 * QUARTER)
    rows, _ = await walk(export_of(replica), 1_000)

    partial = {row.course_id for row in rows if row.partial}
    assert partial == {course for course in COURSES if replica.keys.partition_of(course) == lost}
    assert len({row.course_id for row in rows}) == len(COURSES)


async def test_a_master_whose_clock_is_behind_is_waited_for(replica: Replica) -> None:
    """At least once: what it closes in a quarter that is over elsewhere is in the next page, not in none."""
    slow = replica.keys.partition_of("c1")
    assert slow != replica.keys.partition_of("-")
    await beat(replica, START + MINUTE, "ada")
    await close(replica, START + 2 * QUARTER - SKEW_MS // 2)
    over = START + 2 * QUARTER + MINUTE
    await clock.set_clock(replica.redis, over)
    await replica.redis.set(clock.clock_of(slow), over - SKEW_MS)
    before, cursor = await walk(export_of(replica), 5)
    late = "late-2"
    assert replica.keys.partition_of(late) == slow, "choose another name"
    await replica.redis.append(
        replica.keys.closed((over - SKEW_MS) // QUARTER, slow), f"{late} {START // QUARTER} {QUARTER}\n"
    )
    await replica.redis.hset(replica.keys.quarters(late, START // clock.DAY), START // QUARTER % 96, "1 60")
    await clock.set_clock(replica.redis, START + 4 * QUARTER)
    after, _ = await walk(export_of(replica), 5, cursor)

    assert late in {row.course_id for row in after}
    assert {row.course_id for row in before + after} == {*COURSES, late}


@pytest.mark.parametrize("courses", [1, 24])
async def test_a_page_looks_where_something_may_be(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, courses: int
) -> None:
    """Of 8,640 quarters in 256 partitions: none before history began, nor where nothing was ever closed."""
    await clock.set_clock(replica.redis, START + MINUTE)
    await asyncio.gather(*(replica.beat("ada", course=course) for course in COURSES[:courses]))
    await close(replica, START + 2 * QUARTER)
    await clock.set_clock(replica.redis, START + 4 * QUARTER)
    results, asked = replica.link.results, 0

    async def counted(commands: Any, **options: Any) -> Any:
        nonlocal asked
        asked += sum(command[0] == "STRLEN" for command in commands)
        return await results(commands, **options)

    monkeypatch.setattr(replica.link, "results", counted)
    page = await export_of(replica).page(None, 1_000)

    partitions = {replica.keys.partition_of(course) for course in COURSES[:courses]}
    assert {row.course_id for row in page.rows} == set(COURSES[:courses])
    assert asked <= 14 * len(partitions)  # nine quarters before the first, and those since
