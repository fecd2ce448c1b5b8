"""S13: a whole day of a simulated crowd, minute by minute, against a log that was kept outside of Redis."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from presence_svc.commands.crowd import Crowd
from tests.store.history import clock
from tests.store.history.clock import DAY, MINUTE, START
from tests.store.history.oracle import Log, Minute
from tests.store.history.raw import read
from tests.store.oracle import Model
from tests.store.replica import Replica

STEP_MS = 500  # a simulated half minute, since a minute takes a second here


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_minute_of_a_day_is_as_the_log_says(trio: list[Replica]) -> None:
    """Courses and chapters: arrivals, moves, hidden tabs, crashes and goodbyes, on three replicas."""
    crowd = Crowd(8, chance=random.Random(11), run_id="day")
    model, log = Model(), Log(MINUTE)
    now = START
    courses = list(crowd.courses)
    while now < START + DAY:
        due, gone = crowd.step((now - START) / 1_000 * 2, STEP_MS / 1_000 * 2)
        for n, viewer in enumerate(due):
            await clock.set_clock(trio[0].redis, now)
            model.at(now)
            said = viewer.heartbeat()
            key = (viewer.course_id, viewer.viewer_id, "main")
            anonymous, hidden = said.get("anonymous", False), said["hidden"]
            model.beat(key, now, said["seq"], said["chapter_id"], hidden, anonymous)
            log.note(now, model)
            await trio[n % 3].beat(
                viewer.viewer_id, course=viewer.course_id, chapter=said["chapter_id"], seq=said["seq"],
                hidden=hidden, anonymous=anonymous,
            )  # fmt: skip
            viewer.beats_at += 50
            now += 1
        for viewer in gone:
            await clock.set_clock(trio[0].redis, now)
            model.at(now)
            model.leave((viewer.course_id, viewer.viewer_id, "main"), now, None, soft=False)
            log.note(now, model)
            await trio[0].leave(viewer.viewer_id, course=viewer.course_id)
            now += 1
        now = (now // STEP_MS + 1) * STEP_MS
        if now % MINUTE == 0:
            await clock.set_clock(trio[0].redis, now + 1)
            await trio[now // MINUTE % 3].agenda.sweep(courses)
            now += 2
    now += 300 * MINUTE
    await clock.set_clock(trio[0].redis, now)
    for replica in trio * 5:
        await replica.agenda.sweep(courses)
    kept = await read(trio[0].redis)
    expected = log.minutes(now)

    assert len(expected) > 4_000
    assert kept.minutes == expected
    assert kept.torn == 0
    days: dict[object, Minute] = {}
    for (room, minute), one in expected.items():
        day = days.setdefault((room, minute // 1_440), Minute())
        day.peak, day.area = max(day.peak, one.peak), day.area + one.area
    assert kept.days == days


@pytest.mark.benchmark
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_ten_thousand_courses_close_in_one_second(trio: list[Replica]) -> None:
    """The worst moment of a minute: each is closed once, a command closes one course, none takes 10 ms.

    A busy machine may take the processor away in the middle of a command: so one in two hundred may be late,
    and what they cost is also asked in processor time.
    """
    redis, many = trio[0].redis, 10_000
    for start in range(0, many, 500):
        writes = [trio[0].beat(f"v{n}", course=f"c{n}", chapter="ch-1") for n in range(start, start + 500)]
        await asyncio.gather(*writes)
    await clock.set_clock(redis, START + MINUTE + 1)
    await redis.config_resetstat()
    before, closed = await processor_s(redis), 0
    while (due := await trio[closed % 3].agenda.due()).courses:
        for first in range(0, len(due.courses), 20):
            swept = await trio[closed % 3].agenda.sweep(due.courses[first : first + 20])
            closed += sum(one.closed for one in swept)
    spent = await processor_s(redis) - before
    calls, below_us = await below(redis, 10_000)

    assert closed == many
    assert spent / many < 0.002
    assert calls >= many
    assert below_us / calls >= 0.995


async def processor_s(redis: Any) -> float:
    info = await redis.info("cpu")
    return float(info["used_cpu_user"] + info["used_cpu_sys"])


async def below(redis: Any, limit_us: int) -> tuple[int, int]:
    """How many script calls there were, and how many of them took less."""
    reply = await redis.execute_command("LATENCY", "HISTOGRAM", "evalsha")
    _, (_, calls, _, buckets) = reply
    pairs = zip(buckets[::2], buckets[1::2], strict=True)
    return int(calls), max((int(n) for us, n in pairs if int(us) < limit_us), default=0)
