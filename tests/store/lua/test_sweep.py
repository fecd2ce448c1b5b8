"""sweep.lua and due.lua by themselves: what they remove, in which steps, and when they look again."""

from __future__ import annotations

import asyncio

import pytest

from presence_svc.store import agenda
from tests.store.audit import audit
from tests.store.replica import Ear, Replica

AGENDA, C = "presence:agenda:0", "presence:{c1}:"
INTERVAL, CLAIM = 250, 500


async def test_a_sweep_removes_what_has_ended_only(replica: Replica) -> None:
    """S4: from all sets, by the clock of Redis; who is alive stays with the same scores."""
    await replica.beat("goes", chapter="ch-1", anonymous=True)
    await replica.pass_time(30_000)
    stays = await replica.beat("stays", chapter="ch-2")
    await replica.pass_time(30_001)
    (swept,) = await replica.agenda.sweep(["c1"])
    redis = replica.redis

    assert swept.removed == 1
    assert await redis.zrange(f"{C}viewers", 0, -1, withscores=True) == [
        (b"stays", stays.expires_at - 30_001)
    ]
    assert await redis.zrange(f"{C}places", 0, -1) == [b"2 stays"]
    assert await redis.hgetall(f"{C}chapters") == {b"ch-2": b"2"}
    assert await redis.exists(f"{C}anonymous") == 0
    assert await redis.zscore(AGENDA, "c1") == swept.next_due


async def test_a_sweep_looks_again_at_the_first_lease_end(replica: Replica) -> None:
    """S9: the earliest end among viewers, chapters and anonymity, whichever it is."""
    await replica.beat("ada", "far", hidden=True)
    near = await replica.beat("ada", "near", chapter="ch-1")
    await replica.pass_time(1_000)
    (chapter,) = await replica.agenda.sweep(["c1"])
    await replica.leave("ada", "near")
    secret = await replica.beat("ada", "secret", anonymous=True)
    await replica.pass_time(1_000)
    (anonymity,) = await replica.agenda.sweep(["c1"])

    assert chapter.next_due == near.expires_at - 1_000
    assert anonymity.next_due == secret.expires_at - 1_000


async def test_a_sweep_of_an_empty_course_takes_it_off_the_agenda(replica: Replica) -> None:
    """S12: nothing to look at any more: no entry, and 0 as the next time."""
    await replica.beat("ada")
    await replica.pass_time(61_000)
    first = (await replica.agenda.sweep(["c1"]))[0]
    again = (await replica.agenda.sweep(["c1"]))[0]

    assert (first.removed, first.next_due) == (1, 0)
    assert (again.removed, again.next_due) == (0, 0)
    assert await replica.redis.exists(AGENDA) == 0


async def test_a_purge_goes_in_bounded_steps(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """S12: a step removes so many members in all, is due again soon, and the last one ends it."""
    monkeypatch.setattr(agenda, "MEMBERS", 100)
    await asyncio.gather(*(replica.beat(f"v{n}", chapter=f"ch-{n % 2}", anonymous=True) for n in range(450)))
    await replica.pass_time(61_000)
    steps, left = [], []
    for _ in range(20):
        now = await replica.now()
        (swept,) = await replica.agenda.sweep(["c1"])
        steps.append(swept.removed)
        left.append(await replica.redis.zcard(f"{C}viewers"))
        if not swept.next_due:
            break
        assert now <= swept.next_due <= await replica.now() + INTERVAL

    assert sum(steps) == 450
    assert max(steps) == 100
    assert left[:5] == [350, 250, 150, 50, 0]
    assert await replica.redis.exists(f"{C}viewers", f"{C}places", f"{C}anonymous") == 0


async def test_racing_sweeps_publish_each_departure_once(replica: Replica, other: Replica, ear: Ear) -> None:
    """S8, S10: two replicas sweep the same courses at once: every course says zero once."""
    courses = [f"c{n}" for n in range(20)]
    for course in courses:
        await replica.beat("ada", course=course)
    await replica.pass_time(61_000)
    swept = await asyncio.gather(*(r.agenda.sweep(courses) for r in (replica, other, replica)))
    heard = [m["course_id"] for m in await ear.hear() if m["total"] == 0]

    assert sum(one.removed for pass_ in swept for one in pass_) == 20
    assert sorted(heard) == sorted(courses)


async def test_a_sweep_waits_for_the_interval(replica: Replica, ear: Ear) -> None:
    """S8: an expiry just after a message is said when the interval is over, by the look it asks for."""
    await replica.beat("first")
    await replica.pass_time(59_950)
    await replica.beat("second")
    await replica.pass_time(100)
    (swept,) = await replica.agenda.sweep(["c1"])
    state = await replica.redis.hgetall(f"{C}state")
    before = len(await ear.hear())
    await replica.pass_time(INTERVAL)
    await replica.agenda.sweep(["c1"])

    assert swept.next_due == int(state[b"dirty"])
    assert int(state[b"dirty"]) == int(state[b"published"]) + INTERVAL
    assert before == 2
    assert [message["total"] for message in await ear.hear()] == [1, 2, 1]
    assert b"dirty" not in await replica.redis.hgetall(f"{C}state")


async def test_due_gives_what_is_due_in_order(replica: Replica) -> None:
    """S9: the courses whose time has come, the earliest first, and when the next one is."""
    for n in range(3):
        await replica.beat("ada", course=f"c{n}")
        await replica.pass_time(10_000)
    await replica.pass_time(45_000)
    due = await replica.agenda.due()

    assert due.courses == ["c0", "c1"]
    assert due.now < due.next_at <= due.now + CLAIM


async def test_due_claims_for_half_a_second(replica: Replica, other: Replica) -> None:
    """S10: what one replica has taken another does not get, until the claim ends."""
    for n in range(5):
        await replica.beat("ada", course=f"c{n}")
    await replica.pass_time(61_000)
    mine, others = await asyncio.gather(replica.agenda.due(), other.agenda.due())
    await replica.pass_time(CLAIM)
    later = await other.agenda.due()

    assert len(mine.courses) + len(others.courses) == 5
    assert len(later.courses) == 5


async def test_due_is_bounded(replica: Replica) -> None:
    """S12: a thousand courses due at once are given out in handfuls."""
    await replica.redis.zadd(AGENDA, {f"c{n}": 1 for n in range(1_000)})
    handfuls = [len((await replica.agenda.due()).courses) for _ in range(11)]

    assert handfuls == [agenda.COURSES] * 10 + [0]


async def test_due_brings_no_course_back(replica: Replica) -> None:
    """S12: an agenda that is empty stays empty: a claim adds nothing."""
    due = await replica.agenda.due()

    assert (due.courses, due.next_at) == ([], 0)
    assert await replica.names() == set()


async def test_an_unknown_course_in_the_agenda_goes(replica: Replica) -> None:
    """S12: a leftover entry of a course without keys is taken off by its first sweep."""
    await replica.redis.zadd(AGENDA, {"ghost": 1})
    await replica.sweep()

    assert await replica.names() == set()
    assert await audit(replica.redis) == []
