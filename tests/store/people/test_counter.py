"""S14: people are a set of ids over all courses, at the moment Redis answers, with no sweeper alive."""

from __future__ import annotations

import asyncio

import pytest

from presence_svc.store.people import counter, repair
from tests.rig import Backend
from tests.store.replica import SIGNING_IN, Replica


@pytest.fixture
def counting(real_backend: Backend) -> Replica:
    return Replica(real_backend.client(protocol=2), people=True, history=False, **SIGNING_IN)


async def told(replica: Replica) -> tuple[int, bool]:
    found = await replica.people.count()
    assert found is not None
    return found.people, found.exact


async def test_who_is_in_two_courses_is_one(counting: Replica) -> None:
    """Joins, a leave of one course and of the other, an eviction."""
    for viewer, course in (("ada", "c1"), ("ada", "c2"), ("bob", "c2"), ("ada", "c3")):
        await counting.beat(viewer, course=course)
    seen = [await told(counting)]
    await counting.leave("ada", course="c1")
    await counting.presence.evict("c2", "ada")
    seen.append(await told(counting))
    await counting.leave("ada", course="c3")
    seen.append(await told(counting))
    await counting.leave("bob", course="c2")

    assert seen == [(2, True), (2, True), (1, True)]
    assert await told(counting) == (0, True)
    assert await counting.redis.exists("presence:where") == 0


async def test_the_lapsed_are_nobody_though_nobody_swept(counting: Replica) -> None:
    """S4: in one course of two, then in both; a claim by a sweeper that has died changes nothing."""
    await counting.beat("ada", course="c1")
    await counting.beat("ada", course="c2", hidden=True)
    await counting.beat("bob", course="c1")
    await counting.pass_time(61_000)
    seen = [await told(counting)]
    await counting.agenda.due()
    seen.append(await told(counting))
    await counting.pass_time(90_000)
    seen.append(await told(counting))
    await counting.settle()

    assert seen == [(1, True), (1, True), (0, True)]
    assert await counting.redis.exists("presence:where") == 0


async def test_signing_in_moves_a_person(counting: Replica) -> None:
    """One person before, at the moment and after; also when they were there under their name already."""
    await counting.beat("anon~1", "s1", anonymous=True)
    await counting.beat("anon~2", "s2", anonymous=True)
    before = await told(counting)
    await counting.beat("ada", "s1", take_over_from="anon~1")
    during = await told(counting)
    await counting.beat("ada", "s2", take_over_from="anon~2")

    assert (before, during, await told(counting)) == ((2, True), (2, True), (1, True))


async def test_too_many_to_look_at_is_said(counting: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """When more leases have just ended than one call looks at, the number says that it is not exact."""
    monkeypatch.setattr(counter, "LAPSED", 10)
    await asyncio.gather(*(counting.beat(f"v{n}") for n in range(30)))
    await counting.pass_time(61_000)
    found = await counting.people.count()
    await counting.settle()

    assert found is not None
    assert (found.exact, found.bound_s) == (False, counter.BOUND_S)
    assert await told(counting) == (0, True)


async def mended(replica: Replica) -> int:
    """A whole round, whatever its steps."""
    found = repair.PeopleRepair(replica.link, replica.settings, replica.keys)
    return sum([await found.step() for _ in range(40)])


async def test_sets_that_have_gone_leave_nobody_behind(counting: Replica) -> None:
    """A course's keys have expired unswept or were dropped: its viewers are no people, others stay."""
    for viewer, course in (("ada", "c1"), ("ada", "c2"), ("bob", "c1"), ("cleo", "c2")):
        await counting.beat(viewer, course=course)
    await counting.redis.delete("presence:{c1}:viewers", "presence:{c1}:state")
    wrong = await mended(counting)

    assert wrong == 2
    assert await told(counting) == (2, True)
    assert await mended(counting) == 0


async def test_who_joined_uncounted_is_found(counting: Replica, real_backend: Backend) -> None:
    """A replica of an older version has let viewers in: within some steps they are people, too."""
    older = Replica(real_backend.client(protocol=2), people=False)
    for n in range(250):
        await older.beat(f"v{n}", course=f"c{n % 3}")
    before = await told(counting)

    assert before == (0, True)
    assert await mended(counting) == 250
    assert await told(counting) == (250, True)


async def test_a_renewal_writes_nothing(counting: Replica) -> None:
    """What people cost a steady heartbeat: no command on `where`."""
    await counting.beat("ada", seq=1)
    await counting.redis.config_resetstat()
    await counting.beat("ada", seq=2)
    commands = set(await counting.redis.info("commandstats"))

    assert commands & {"cmdstat_hlen", "cmdstat_hdel", "cmdstat_zscore", "cmdstat_hgetall"} == set()


async def test_the_whole_of_a_small_set_is_looked_over(counting: Replica) -> None:
    """Redis answers a scan of a small hash with all of it: its end is mended too, and who is missing."""
    beats = [(f"v{n}", f"c{course}") for course in range(5) for n in range(100)]
    await asyncio.gather(*(counting.beat(viewer, course=course) for viewer, course in beats))
    await counting.beat("ada", course="c0")
    await counting.redis.delete("presence:{c4}:viewers")
    await counting.redis.hdel("presence:where", "ada")

    assert await mended(counting) == 101
    assert await told(counting) == (101, True)
