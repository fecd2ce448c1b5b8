"""S13: minutes are closed once, also late, by many, after losses; nothing is kept when history is off."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest

from presence_svc.errors import Unavailable
from presence_svc.store.history.answers import HistoryAnswers
from presence_svc.store.history.export import Export
from presence_svc.store.history.steps import Step
from tests.cluster_rig import CLUSTER, ClusterBackend
from tests.rig import Backend
from tests.store.history import clock
from tests.store.history.clock import DAY, MINUTE, QUARTER, START
from tests.store.history.oracle import Log, Minute
from tests.store.history.raw import read
from tests.store.oracle import Model
from tests.store.replica import Replica

UTC = ZoneInfo("UTC")


@pytest.fixture
async def trio(every_backend: Backend | ClusterBackend) -> AsyncIterator[list[Replica]]:
    """Three replicas on one Redis, or on one Cluster (S15), at the beginning of a day."""
    with clock.turned_clock(on_a_cluster=every_backend.kind == CLUSTER):
        made = [clock.replica(every_backend.client(protocol=2)) for _ in range(3)]
        await clock.set_clock(made[0].redis, clock.START)
        yield made


def base(replica: Replica) -> str:
    """What every name of course c1 begins with."""
    return replica.keys.course("c1").viewers.removesuffix("viewers")


C = "presence:{c1}:"
# What history and people add: keys of their own, open minutes in the state, who has come in the places.
BOOKS = re.compile(r":(heard|gaps|seen|where|closed|minutes|quarters|days|uniques|numbers)\b| m\d+\b| 0\d+ ")


async def at(replica: Replica, now: int) -> None:
    await clock.set_clock(replica.redis, now)


async def rest(replica: Replica, courses: list[str]) -> None:
    """Sweeps until nothing is due."""
    now = await clock.get_clock(replica.redis)
    for _ in range(200):
        swept = await replica.agenda.sweep(courses)
        if all(not one.next_due or one.next_due > now for one in swept):
            return
    raise AssertionError("the agenda never comes to rest")


async def minutes_of(replica: Replica, begin: int, end: int, course: str = "c1") -> Any:
    """What the reader says of these minutes: peak, average, partial."""
    answers = HistoryAnswers(replica.link, replica.settings)
    known = await answers.coverage(course)
    steps = [Step(t, t + MINUTE) for t in range(begin, end, MINUTE)]
    found = await answers.history(known, course, None, "1m", steps, UTC)
    return list(zip(found.peak, found.average, found.partial, strict=True))


async def test_three_replicas_close_each_minute_once(trio: list[Replica]) -> None:
    """S10: all sweep the same courses at the same moments, and die between the steps of it: nothing twice."""
    model, log, chance = Model(), Log(MINUTE), random.Random(7)
    courses = [f"c{n}" for n in range(12)]
    now = START + 10 * 60 * MINUTE
    for step in range(120):
        now += chance.choice((200, 700, 1_000, 15_000, 61_000))
        await at(trio[0], now)
        model.at(now)
        course, viewer, chapter = (
            chance.choice(courses),
            f"v{chance.randrange(6)}",
            f"ch-{chance.randrange(3)}",
        )
        model.beat((course, viewer, "main"), now, None, chapter, False, False)
        await trio[step % 3].beat(viewer, course=course, chapter=chapter)
        log.note(now, model)
        works: list[Any] = [replica.agenda.sweep(courses) for replica in trio]
        if step % 3 == 0:  # has claimed all that is due, and is never heard of again
            works.append(trio[2].agenda.due(everywhere=True))
        if step % 4 == 0:  # has asked with the keys of another hour, and dies before it asks again
            with patch("presence_svc.store.agenda.GUESSES", 1):
                await trio[1].agenda.sweep(courses)
        await asyncio.gather(*works)
    now += 400 * MINUTE
    await at(trio[0], now)
    await asyncio.gather(*(rest(replica, courses) for replica in trio))
    kept = await read(trio[0].redis)

    assert kept.minutes == log.minutes(now)  # read() refuses a minute that stands there twice
    assert kept.torn == 0
    assert len(kept.closed) == len(set(kept.closed))


async def test_a_replicas_own_clock_means_nothing(trio: list[Replica]) -> None:
    """S3, S13: one is an hour fast, one an hour slow: the same minutes, in the same keys."""
    replica = trio[0]
    with patch("time.time", lambda: time.monotonic() + 3_600), patch("time.time_ns", lambda: 0):
        await replica.beat("ada")
        await at(replica, START + 90 * MINUTE)
        await rest(replica, ["c1"])
    kept = await read(replica.redis)

    assert {minute for _, minute in kept.minutes} == {START // MINUTE + n for n in range(60)}
    assert all(one == Minute(1, MINUTE) for one in kept.minutes.values())


async def test_the_lapsed_end_when_they_ended(trio: list[Replica]) -> None:
    """S13: swept an hour late, a lease of sixty seconds is sixty seconds of viewer time."""
    ends = (await trio[0].beat("ada", chapter="ch-1")).expires_at
    await at(trio[0], START + 3_000 * MINUTE)
    await rest(trio[0], ["c1"])
    kept = await read(trio[0].redis)

    assert sum(one.area for (room, _), one in kept.minutes.items() if room == ("c1", "")) == ends - START
    assert sum(one.area for (room, _), one in kept.minutes.items() if room == ("c1", "ch-1")) == ends - START


async def test_new_year(trio: list[Replica]) -> None:
    """A night over the end of the year, and of a block of days: each day has its own viewers and minutes."""
    block = 365 * DAY
    eve = START - START % block + block - 20 * MINUTE
    await at(trio[0], eve)
    await trio[0].beat("ada")
    await trio[1].beat("bob")
    await at(trio[0], eve + 10 * MINUTE)
    await trio[0].leave("bob")
    await at(trio[0], eve + 30 * MINUTE)
    await trio[2].beat("cleo")
    await at(trio[0], eve + 200 * MINUTE)
    await rest(trio[1], ["c1"])
    kept = await read(trio[0].redis, uniques="count")
    day = (eve + 20 * MINUTE) // DAY

    areas = {one: minute.area for (_, one), minute in kept.days.items()}
    assert areas == {day - 1: 30 * MINUTE, day: 40 * MINUTE + 60 * MINUTE}
    assert kept.counted == {("c1", day - 1): 2, ("c1", day): 2}
    assert await trio[0].redis.hget(f"{base(trio[0])}days:{day // 365}", f"{day % 365}.u") == b"2"


async def test_sets_that_have_gone_make_minutes_partial(trio: list[Replica]) -> None:
    """S13: a course's sets have expired unswept, or were dropped: partial, and exact again afterwards."""
    for viewer in ("ada", "bob"):
        await trio[0].beat(viewer, chapter="ch-1")
    await trio[0].agenda.due(everywhere=True)
    await at(trio[0], START + 3 * MINUTE + 1)
    await rest(trio[0], ["c1"])
    viewers, places, chapters, anonymous, _ = trio[0].keys.course("c1")
    await trio[0].redis.delete(viewers, places, chapters, anonymous)
    await at(trio[0], START + 5 * MINUTE + 500)
    await rest(trio[0], ["c1"])
    await at(trio[0], START + 7 * MINUTE)
    await trio[0].beat("cleo")
    await at(trio[0], START + 9 * MINUTE + 1)
    await rest(trio[0], ["c1"])
    kept = await read(trio[0].redis)
    torn = await trio[0].redis.get(f"{base(trio[0])}minutes:{START // MINUTE // 60}")
    lines = [line.split(b" ") for line in torn.splitlines() if len(line.split(b" ")) == 3]

    assert {int(line[0]): line[2].endswith(b"!") for line in lines} == {
        0: False, 1: False, 2: False, 3: True, 7: False, 8: False,
    }  # fmt: skip
    assert kept.minutes[("c1", ""), START // MINUTE + 3].peak == 2
    assert kept.minutes[("c1", ""), START // MINUTE + 8] == Minute(1, MINUTE)


async def test_what_nobody_heard_is_null(trio: list[Replica]) -> None:
    """S13: ten minutes in which no replica ran: null, with the minutes at its edges partial, never 0."""
    long = clock.replica(connect_of(trio[0]), ttl=6, hidden_ttl=6, heartbeat_interval=2, leave_grace=1)
    begin = START + 60 * MINUTE
    await at(long, begin)
    await long.agenda.due(everywhere=True)
    await at(long, begin + 10 * MINUTE)
    await long.agenda.due(everywhere=True)
    await long.beat("ada")
    for n in range(1, 6):
        await at(long, begin + (10 + n) * MINUTE)
        await long.agenda.due(everywhere=True)
        await long.beat("ada")
    await at(long, begin + 15 * MINUTE + 500)
    await long.agenda.due(everywhere=True)
    await rest(long, ["c1"])
    await at(long, begin + 25 * MINUTE + 500)
    await long.agenda.due(everywhere=True)
    await at(long, begin + 29 * MINUTE)
    await long.agenda.due(everywhere=True)
    await at(long, begin + 39 * MINUTE)
    await rest(long, ["c1"])
    found = await minutes_of(long, begin, begin + 38 * MINUTE)

    assert found[10:15] == [(1, 1.0, True)] * 5, (
        "the first lease's time: some had not said again that they were there"
    )
    assert found[16:21] == [(1, 1.0, True)] * 5, "by the lease that was heard, the least that there was"
    assert found[21:25] == [(None, None, True)] * 4, "nobody asked for ten minutes"
    assert found[-6:] == [(None, None, True)] * 6, "nor since"


async def test_an_empty_redis_is_unknown(trio: list[Replica]) -> None:
    """S13: all data is lost: before it null and not 0, for one TTL after it partial, then all is known."""
    short = clock.replica(connect_of(trio[0]), ttl=6, hidden_ttl=6, heartbeat_interval=2, leave_grace=1)
    begin = START + 60 * MINUTE

    async def watch(first: int, last: int) -> None:
        for minute in range(first, last):
            await at(short, begin + minute * MINUTE)
            await short.agenda.due(everywhere=True)
            await short.beat("ada", chapter="ch-1")
            await short.agenda.sweep(["c1"])

    await watch(0, 20)
    before = await minutes_of(short, begin + 8 * MINUTE, begin + 18 * MINUTE)
    await short.redis.flushall()
    await watch(20, 40)
    found = await minutes_of(short, begin, begin + 38 * MINUTE)

    assert before == [(1, 1.0, False)] * 10
    assert found[:20] == [(None, None, True)] * 20
    assert found[20:26] == [(1, 1.0, True)] * 6
    assert found[26:38] == [(1, 1.0, False)] * 12


def connect_of(replica: Replica) -> Any:
    return replica.redis


async def test_off_leaves_no_key(real_backend: Backend) -> None:
    """HISTORY=off, PEOPLE=off: joins, leaves, sweeps and looks at the agenda leave nothing of either."""
    replica = Replica(real_backend.client(protocol=2))
    await replica.agenda.due()
    await replica.beat("ada", chapter="ch-1")
    await replica.leave("ada")
    await replica.beat("bob")
    await replica.pass_time(61_000)
    await replica.settle()

    state = replica.keys.course("c1").state
    assert await replica.names() == {state}
    assert set(await replica.redis.hkeys(state)) == {b"version", b"published", b"told"}


@pytest.mark.parametrize("is_on", [False, True], ids=["off", "on"])
async def test_off_costs_nothing(real_backend: Backend, is_on: bool) -> None:
    """HISTORY=off, PEOPLE=off: no command of a join, an end, a look or a sweep is about either."""
    replica = Replica(real_backend.client(protocol=2), history=is_on, people=is_on)
    run: list[str] = []
    async with real_backend.client(protocol=2).monitor() as monitor:

        async def listen() -> None:
            async for said in monitor.listen():
                run.append(said["command"])
                if "is over" in said["command"]:
                    return

        listening = asyncio.create_task(listen())
        await replica.agenda.due()
        for viewer in ("ada", "bob"):
            await replica.beat(viewer, chapter="ch-1")
            await replica.beat(viewer, chapter="ch-2", anonymous=True)
        await replica.leave("ada")
        await replica.presence.evict("c1", "bob")
        await replica.beat("cleo")
        await replica.pass_time(61_000)
        await replica.agenda.sweep(["c1"])
        await replica.redis.echo("is over")
        async with asyncio.timeout(20):
            await listening
    ours = [command for command in run if not command.startswith(("EVAL", "SCRIPT", "HELLO", "CLIENT"))]
    kept = [command for command in ours if BOOKS.search(command)]

    assert any(f"ZADD {C}viewers" in command for command in ours)
    assert bool(kept) == is_on, kept


async def test_a_minute_is_known_when_it_is_over(trio: list[Replica]) -> None:
    """S13: minutes are closed when it suits Redis, but who reads a course sees every minute that is over."""
    one, closed = trio[0], list[int]()
    for n in range(260):
        await one.beat(f"v{n}", chapter=f"ch-{n}")
    one.agenda.on_closed = lambda minutes, partial: closed.append(minutes)
    answers = HistoryAnswers(one.link, one.settings, one.agenda)
    await at(one, START + 2 * MINUTE)
    at_the_boundary = await answers.coverage("c1")
    await at(one, START + 2 * MINUTE + 1)
    after_it = await answers.coverage("c1")
    kept = await read(one.redis)

    assert at_the_boundary.closed_until == START + MINUTE
    assert after_it.closed_until == START + 2 * MINUTE
    assert closed == [1, 1]
    assert kept.minutes[("c1", ""), START // MINUTE] == Minute(260, 260 * MINUTE)
    assert len(kept.minutes) == 2 * 261


async def test_a_read_does_without_closing(trio: list[Replica]) -> None:
    """S13: a Redis that accepts no writes still answers what was closed before; the rest is partial."""
    one = trio[0]
    await one.beat("ada")
    await at(one, START + MINUTE + 1)
    answers = HistoryAnswers(one.link, one.settings, one.agenda)
    await answers.coverage("c1")
    await at(one, START + 2 * MINUTE + 1)
    with patch.object(one.agenda, "sweep", side_effect=Unavailable("redis accepts no writes")) as sweep:
        known = await answers.coverage("c1")

    assert sweep.call_count == 1
    assert known.closed_until == START + MINUTE


async def test_an_empty_course_is_kept_until_its_quarter_is_closed(trio: list[Replica]) -> None:
    """S13: the last message, which says that nobody is left, does not let the open quarter expire."""
    one = trio[0]
    await one.beat("ada")
    await at(one, START + MINUTE // 2)
    await one.agenda.sweep(["c1"])
    await one.leave("ada")
    await at(one, START + MINUTE + MINUTE // 2)
    await one.agenda.sweep(["c1"])
    await one.beat("bob")
    await one.leave("bob")
    await at(one, START + MINUTE + 9 * MINUTE // 10)
    await one.agenda.sweep(["c1"])
    left_ms = await one.redis.pttl(one.keys.course("c1").state)

    assert 16 < left_ms / 60_000 <= 30  # by Redis's own clock, whose quarters take longer than those here


async def test_a_tier_is_kept_for_its_time_after_its_last_minute(trio: list[Replica]) -> None:
    """S12, S13: expiries are set once per quarter, and last for one longer; a key that was lost gets one."""
    one, settings = trio[0], trio[0].settings
    kept = dict(zip(("minutes", "quarters", "days", "uniques"), settings.tiers_ms, strict=True))
    await one.beat("ada", chapter="ch-1")
    for minute in (1, 2, 3):
        await at(one, START + minute * MINUTE + 1)
        await one.agenda.sweep(["c1"])
        if minute == 2:
            await one.redis.delete(*await one.redis.keys(f"{base(one)}minutes:*"))
    names = [key.decode() for key in await one.redis.keys(f"{base(one)}*")]
    left = {name: await one.redis.pttl(name) for name in names}
    tiers = {kind: left[name] for name in names for kind in kept if f":{kind}:" in name}

    assert min(left.values()) > 0
    assert tiers.keys() == kept.keys()
    assert all(kept[kind] < tiers[kind] <= kept[kind] + QUARTER for kind in kept)


async def test_the_export_gives_the_same_rows_again(trio: list[Replica]) -> None:
    """At least once, in order of closing, whatever the page: several walks agree with what was kept."""
    courses = [f"c{n}" for n in range(5)]
    for n, course in enumerate(courses):
        await at(trio[0], START + n * 7 * MINUTE)
        await trio[0].beat(f"v{n}", course=course, chapter="ch-1")
    await at(trio[0], START + 40 * MINUTE)
    await rest(trio[1], courses)
    await at(trio[0], START + 56 * MINUTE)  # on a Cluster a log is read once it is whole
    answers = HistoryAnswers(trio[0].link, trio[0].settings)
    export = Export(trio[0].link, trio[0].settings, answers.reader)

    async def walk(limit: int, cursor: str | None = None) -> tuple[list[Any], str]:
        rows: list[Any] = []
        while True:
            page = await export.page(cursor, limit)
            if not page.rows:
                return rows, page.cursor
            rows, cursor = rows + page.rows, page.cursor

    first, cursor = await walk(1_000)
    again, _ = await walk(1)
    await at(trio[0], START + 200 * MINUTE)
    await rest(trio[2], courses)
    await at(trio[0], START + 230 * MINUTE)
    news, _ = await walk(3, cursor)
    everything, _ = await walk(1_000)
    kept = await read(trio[0].redis)

    assert first == again
    assert first + news == everything
    closed = [row.closed_at // (QUARTER if trio[0].keys.is_partitioned else 1) for row in everything]
    assert closed == sorted(closed)
    assert {
        (row.course_id, row.chapter_id or "", row.t // QUARTER): (row.peak, row.viewer_minutes)
        for row in everything
    } == {
        (*room, quarter): (one.peak, round(one.area / 60_000, 3))
        for (room, quarter), one in kept.quarters.items()
    }
    assert len({row.key for row in everything}) == len(everything)


async def test_bytes_of_a_course_day(trio: list[Replica]) -> None:
    """What a day with four busy hours and three chapters takes, by MEMORY USAGE, as docs/history.md says."""
    replica = trio[0]
    for minute in range(240):
        await at(replica, START + minute * MINUTE)
        for viewer in range(3):
            await replica.beat(f"v{viewer}", chapter=f"ch-{viewer}")
        if minute % 20 == 19:
            await rest(replica, ["c1"])
    await at(replica, START + 400 * MINUTE)
    await rest(replica, ["c1"])
    sizes = {"minutes": 0, "quarters": 0, "days": 0, "uniques": 0, "numbers": 0, "closed": 0}
    for key in await replica.names():
        for kind in sizes:
            if f":{kind}:" in key or key.endswith(f":{kind}"):
                sizes[kind] += await replica.redis.memory_usage(key, samples=0)

    assert 0 < sizes["minutes"] < 24_000
    assert 0 < sizes["quarters"] < 3_000
    assert sizes["days"] + sizes["numbers"] + sizes["uniques"] < 1_200
    assert 0 < sizes["closed"] < 2_500


async def test_made_up_chapters_end_somewhere(trio: list[Replica], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a course's chapters the first 2,000 have a history; whoever makes up more fills nothing."""
    for n in range(5):
        await trio[0].redis.hset(
            trio[0].keys.numbers("c1"), mapping={f"old-{n}-{m}": n * 400 + m + 1 for m in range(400)}
        )
    await trio[0].beat("ada", chapter="new")
    await at(trio[0], START + 70 * MINUTE)
    await rest(trio[0], ["c1"])
    kept = await read(trio[0].redis)

    assert await trio[0].redis.hlen(trio[0].keys.numbers("c1")) == 2_000
    assert {room for room, _ in kept.minutes} == {("c1", "")}


async def test_a_renewal_costs_the_same_commands(real_backend: Backend) -> None:
    """S13, S14: with history and people on, a steady heartbeat runs exactly what it runs with both off."""

    async def commands(**ways: bool) -> dict[str, int]:
        replica = Replica(real_backend.client(protocol=2), **ways)
        await replica.redis.flushall()
        await asyncio.gather(*(replica.beat(f"v{n}", chapter=f"ch-{n % 3}", seq=1) for n in range(30)))
        await replica.redis.config_resetstat()
        await asyncio.gather(*(replica.beat(f"v{n}", chapter=f"ch-{n % 3}", seq=2) for n in range(30)))
        stats = await replica.redis.info("commandstats")
        return {name: one["calls"] for name, one in stats.items() if "config" not in name}

    assert await commands(history=True, people=True) == await commands(history=False, people=False)
