"""S14: people are a set of ids over all courses, at the moment Redis answers, with no sweeper alive."""

from __future__ import annotations

import asyncio

import pytest

from presence_svc.store import people
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
    monkeypatch.setattr(people, "LAPSED", 10)
    await asyncio.gather(*(counting.beat(f"v{n}") for n in range(30)))
    await counting.pass_time(61_000)
    found = await counting.people.count()
    await counting.settle()

    assert found is not None
    assert (found.exact, found.bound_s) == (False, people.BOUND_S)
    assert await told(counting) == (0, True)


async def test_a_renewal_writes_nothing(counting: Replica) -> None:
    """What people cost a steady heartbeat: no command on `where`."""
    await counting.beat("ada", seq=1)
    await counting.redis.config_resetstat()
    await counting.beat("ada", seq=2)
    commands = set(await counting.redis.info("commandstats"))

    assert commands & {"cmdstat_hlen", "cmdstat_hdel", "cmdstat_zscore", "cmdstat_hgetall"} == set()
