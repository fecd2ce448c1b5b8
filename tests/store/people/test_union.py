"""S14 on a Cluster: people over all partitions, each once, with the bound said."""

from __future__ import annotations

import pytest

from presence_svc.settings import load
from presence_svc.store.keys import Keys
from presence_svc.store.people import union as people_union
from presence_svc.store.people.counter import PeopleCounter
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
    first = await union.count()
    await replica.redis.hset(keys.partitions[2].where, "dan", "c2")

    assert (first, await union.count()) == (3, 3)


async def test_too_many_are_not_counted(books: tuple[Replica, Keys], monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process would have to keep in mind is bounded."""
    monkeypatch.setattr(people_union, "LIMIT", 2)
    replica, keys = books

    assert await people_union.PeopleUnion(replica.link, keys).count() is None
    assert await PeopleCounter(replica.link, load(), keys).count() is None
