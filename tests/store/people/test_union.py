"""S14 on a Cluster: people over all partitions, each once, with the bound said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from presence_svc.settings import load
from presence_svc.store.keys import Keys
from presence_svc.store.people import union as people_union
from presence_svc.store.people.counter import PeopleCounter
from tests.cluster_rig import Cluster, ClusterBackend
from tests.rig import Backend
from tests.store.replica import Replica


@pytest.fixture
async def books(real_backend: Backend) -> tuple[Replica, Keys]:
    """Four partitions; ada is in courses of two of them."""
    replica, keys = Replica(real_backend.client(protocol=2)), Keys("presence", 4)
    for partition, viewers in zip(keys.partitions, (("ada", "bob"), ("ada",), (), ("cleo",)), strict=True):
        for viewer in viewers:
            await replica.redis.hset(partition.where, viewer, "c1")
    return replica, keys


async def test_each_is_counted_once(books: tuple[Replica, Keys]) -> None:
    """Three people in four entries; not exact, and right within a minute."""
    replica, keys = books
    found = await PeopleCounter(replica.link, load(), keys).count()

    assert found is not None
    assert (found.people, found.exact, found.bound_s) == (3, False, 60.0)


async def test_a_reading_stands_for_a_while(books: tuple[Replica, Keys]) -> None:
    """However often it is asked: one walk in half a minute."""
    replica, keys = books
    union = people_union.PeopleUnion(replica.link, keys)
    first = (await union.count()).people
    await replica.redis.hset(keys.partitions[2].where, "dan", "c2")

    assert (first, (await union.count()).people) == (3, 3)


async def test_too_many_are_not_counted(books: tuple[Replica, Keys], monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process would have to keep in mind is bounded."""
    monkeypatch.setattr(people_union, "LIMIT", 2)
    replica, keys = books

    assert (await people_union.PeopleUnion(replica.link, keys).count()).people is None
    assert await PeopleCounter(replica.link, load(), keys).count() is None


@pytest.fixture
async def counting(shared_cluster: Cluster) -> AsyncIterator[Replica]:
    """A replica that counts people, on a Cluster of real servers."""
    async with ClusterBackend(shared_cluster) as servers:
        yield Replica(servers.client(), people=True)


async def test_on_real_masters(counting: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is in courses of all masters is one; leaves, evictions and ends take them out where they were."""
    monkeypatch.setattr(people_union, "REUSED_S", 0.0)
    monkeypatch.setattr(people_union, "STEP", 10)
    courses = [f"c{n}" for n in range(60)]
    before = await counting.now()
    await asyncio.gather(*(counting.beat("ada", course=course) for course in courses))
    await asyncio.gather(*(counting.beat(f"v{n}", course="c1") for n in range(700)))
    found = await counting.people.count()
    assert found is not None
    after = await counting.now()
    await counting.leave("ada", course="c1")
    await counting.presence.evict("c2", "v1")  # who is not there
    still = await counting.people.count()
    await asyncio.gather(*(counting.leave("ada", course=course) for course in courses))
    gone = await counting.people.count()
    await counting.pass_time(61_000)
    await counting.settle()
    empty = await counting.people.count()

    assert (found.people, found.exact, found.bound_s) == (701, False, people_union.BOUND_S)
    assert before - 5_000 <= found.as_of <= after + 5_000
    assert still is not None
    assert gone is not None
    assert empty is not None
    assert (still.people, gone.people, empty.people) == (701, 700, 0)
    assert not [name for name in await counting.names() if name.endswith(":where")]


async def test_the_bound_is_kept(counting: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """S14: a reading stands for REUSED_S from its beginning; what is left of the bound is for taking it."""
    now = 1_000.0
    monkeypatch.setattr(people_union, "monotonic", lambda: now)
    await counting.beat("ada")
    first = await counting.people.count()
    await counting.beat("bob", course="c2")
    now += people_union.REUSED_S - 0.01
    second = await counting.people.count()
    now += 0.02
    third = await counting.people.count()

    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.people, second.people, third.people) == (1, 1, 2)
    assert first.as_of == second.as_of < third.as_of
    assert people_union.REUSED_S <= people_union.BOUND_S / 2
