"""S13: a whole day of a simulated crowd, minute by minute, against a log that was kept outside of Redis."""

from __future__ import annotations

import random
from zoneinfo import ZoneInfo

import pytest

from presence_svc.commands.crowd import Crowd
from presence_svc.store.history.answers import HistoryAnswers
from presence_svc.store.history.steps import Step
from tests.store.history import clock
from tests.store.history.clock import DAY, MINUTE, START
from tests.store.history.oracle import Log, Minute, Room
from tests.store.history.raw import read
from tests.store.oracle import Model
from tests.store.replica import Replica

STEP_MS = 500  # a simulated half minute, since a minute takes a second here


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_minute_of_a_day_is_as_the_log_says(trio: list[Replica]) -> None:
    """Courses and chapters: arrivals, moves, hidden tabs, crashes and goodbyes, on three replicas.

    Peaks, viewer time, quarters, the day, its distinct viewers, and what the route answers of each minute.
    """
    for replica in trio:
        replica.use(replica.settings.model_copy(update={"uniques": "exact"}))
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
            await trio[now // MINUTE % 3].agenda.due()
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
    assert kept.quarters == folded(expected, 15)
    assert kept.days == folded(expected, 1_440)
    assert kept.uniques == log.viewers(now, DAY)
    for room in {room for room, _ in expected}:
        assert await answered(trio[0], room) == {
            minute: (one.peak, one.area)
            for (where, minute), one in expected.items()
            if where == room and minute * MINUTE < START + DAY
        }


def folded(minutes: dict[tuple[Room, int], Minute], span: int) -> dict[tuple[Room, int], Minute]:
    """The larger peak, the sum of viewer time, of so many minutes each."""
    found: dict[tuple[Room, int], Minute] = {}
    for (room, minute), one in minutes.items():
        fold = found.setdefault((room, minute // span), Minute())
        fold.peak, fold.area = max(fold.peak, one.peak), fold.area + one.area
    return found


async def answered(replica: Replica, room: Room) -> dict[int, tuple[int, int]]:
    """What the route says of the day's minutes: peak and viewer ms, by its average and by its minutes."""
    answers, (course, chapter) = HistoryAnswers(replica.link, replica.settings), room
    known = await answers.coverage(course)
    steps = [Step(at, at + MINUTE) for at in range(START, START + DAY, MINUTE)]
    found = await answers.history(known, course, chapter or None, "1m", steps, ZoneInfo("UTC"))
    columns = zip(steps, found.peak, found.average, found.viewer_minutes, found.partial, strict=True)
    told = {}
    for step, peak, average, minutes, partial in columns:
        if peak is None:
            assert (average, minutes, partial) == (None, None, True)
        else:
            area = round((average or 0) * MINUTE)
            assert abs((minutes or 0) * 60_000 - area) <= 30.5, "in thousandths of a minute"
            if peak:
                told[step.begin // MINUTE] = (peak, area)
    return told
