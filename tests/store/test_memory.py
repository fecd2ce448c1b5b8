"""A Redis that is full (R8): arrivals are refused, departures and sweeps go on, and all heals."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from presence_svc.errors import Unavailable
from tests.rig import Backend
from tests.store.audit import audit
from tests.store.replica import Ear, Replica


@pytest.fixture
async def full(real_backend: Backend) -> AsyncIterator[Replica]:
    """A replica on a Redis that has taken three viewers and is now full."""
    replica = Replica(real_backend.client(protocol=2))
    for viewer in ("ada", "bob", "cleo"):
        await replica.beat(viewer, chapter="ch-1", seq=1)
    await replica.shared.refresh()
    await replica.settle()
    await replica.redis.config_set("maxmemory", "1mb")
    yield replica
    await has_room(replica)


async def has_room(replica: Replica) -> None:
    """Ends the shortage."""
    await replica.redis.config_set("maxmemory", 0)


async def test_heartbeats_are_refused(full: Replica) -> None:
    """R8: neither an arrival nor a renewal is half recorded."""
    for viewer in ("ada", "new"):
        with pytest.raises(Unavailable):
            await full.beat(viewer, chapter="ch-2", seq=2)

    count = await full.count()
    await has_room(full)

    assert (count.total, count.chapters) == (3, {"ch-1": 3})
    assert await audit(full.redis) == []


async def test_leaves_act(full: Replica) -> None:
    """R8: hard, soft, of nobody: whoever goes makes room, so that nothing may keep them."""
    await full.leave("ada")
    await full.leave("bob", soft=True, seq=2)
    await full.leave("nobody")
    await full.presence.evict("c1", "cleo")
    await has_room(full)
    await full.pass_time(3_001)

    assert await full.total() == 0
    assert await audit(full.redis) == []


async def test_sweeps_act(full: Replica, real_backend: Backend) -> None:
    """R8: what has expired is found, removed and published, and the pulse does not stop it."""
    async with Ear(real_backend.client(protocol=2)) as ear:
        await has_room(full)
        await full.pass_time(61_000)
        await full.redis.config_set("maxmemory", "1mb")
        await full.shared.refresh()
        gone = await full.sweep()
        heard = await ear.hear()

    assert gone == 3
    assert [message["total"] for message in heard] == [0]


async def test_it_heals(full: Replica) -> None:
    """R8: with room again the next heartbeat is recorded as if nothing had been."""
    with pytest.raises(Unavailable):
        await full.beat("new")
    await has_room(full)
    recorded = await full.beat("new")

    assert recorded.total == 4
    assert not full.node.away


async def test_full_for_longer_than_a_lease_is_not_believed(full: Replica) -> None:
    """S11: no heartbeat was heard: the number falls to 0 and says `warming`, though pulses go on."""
    await has_room(full)
    for _ in range(4):
        await full.shared.refresh()
        await full.pass_time(20_001)
        await full.beat("ada")
    assert not (await full.count()).warming
    await full.redis.config_set("maxmemory", "1mb")
    for _ in range(7):
        await full.redis.config_set("maxmemory", 0)
        await full.pass_time(10_000)
        await full.redis.config_set("maxmemory", "1mb")
        assert (await full.shared.refresh()).warming or await full.total() == 1

    low = await full.count()
    assert (low.total, low.warming) == (0, True)

    await has_room(full)
    await full.beat("ada")
    assert (await full.shared.refresh()).warming
    for _ in range(4):
        await full.pass_time(20_001)
        await full.beat("ada")
        pulse = await full.shared.refresh()
    assert not pulse.warming
