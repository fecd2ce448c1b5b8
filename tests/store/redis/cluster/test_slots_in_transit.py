"""Slots that are moved key by key: a short move is waited for, a long one holds up its own courses (S15)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from time import monotonic

import pytest

from presence_svc.errors import PresenceError
from presence_svc.model import Heartbeat, Leave
from presence_svc.settings import load
from presence_svc.store.agenda import Agenda
from presence_svc.store.presence import Presence
from presence_svc.store.redis.cluster.embedded import ClusterServer
from presence_svc.store.redis.cluster.link import ClusterLink
from presence_svc.store.redis.cluster.router import TRYAGAIN_S
from presence_svc.store.redis.factory import open_link
from presence_svc.store.shared import Shared
from presence_svc.store.write import HeartbeatWrite, LeaveWrite
from tests.cluster_rig import Cluster, cluster

pytestmark = pytest.mark.timeout(60)
COURSE = "in-motion"
TIMEOUT_S = 4.0  # of which a batch waits for two


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    """Three masters whose slots these tests move to and fro."""
    with cluster(replicas=0) as made:
        yield made


@pytest.fixture
async def presence(servers: Cluster) -> AsyncIterator[Presence]:
    servers.empty()
    settings = load(redis_url=servers.url)
    link = open_link(settings, timeout_s=TIMEOUT_S)
    made = Presence(link, settings)
    await link.start()
    yield made
    await made.close()
    await link.close()


def said(course: str, viewer: str, seq: int) -> HeartbeatWrite:
    return HeartbeatWrite(course, viewer, Heartbeat(viewer_id=viewer, chapter_id="ch", seq=seq))


def another(servers: Cluster, slot: int) -> ClusterServer:
    return next(server for server in servers.servers if server is not servers.owner(slot))


def neighbours(servers: Cluster, presence: Presence) -> list[str]:
    """Courses of the same master, in other slots."""
    slot = presence.keys.partition_of(COURSE).slot
    slots = {f"c{n}": presence.keys.partition_of(f"c{n}").slot for n in range(200)}
    port = servers.owner_port(slot)
    return [name for name, one in slots.items() if one != slot and servers.owner_port(one) == port][:10]


async def seen_moving(presence: Presence, slot: int) -> None:
    """Somebody is refused, and from then on it is known that the slot is being moved."""
    with pytest.raises(PresenceError, match="being moved"):
        async with asyncio.timeout(TIMEOUT_S * 2):
            await presence.heartbeat(said(COURSE, "first", 1))
    assert isinstance(presence.link, ClusterLink)
    assert slot in presence.link.router.moves


async def test_who_comes_meanwhile_waits_for_the_end(servers: Cluster, presence: Presence) -> None:
    """Heartbeats and a leave, said while keys are at both nodes, are answered when it is over."""
    slot = presence.keys.partition_of(COURSE).slot
    for viewer in ("ada", "bob", "cleo"):
        await presence.heartbeat(said(COURSE, viewer, 1))
    with servers.migrating(slot, another(servers, slot)):
        await seen_moving(presence, slot)
        came = [asyncio.ensure_future(presence.heartbeat(said(COURSE, f"v{n}", 1))) for n in range(5)]
        leave = LeaveWrite(COURSE, "ada", Leave(viewer_id="ada", seq=2))
        left = asyncio.ensure_future(presence.leave(leave))
        late = asyncio.ensure_future(presence.heartbeat(said(COURSE, "ada", 1)))
        await asyncio.sleep(0.3)
        assert not any(one.done() for one in (*came, late))
        source, target = servers.owner(slot), another(servers, slot)
        await asyncio.to_thread(servers.move_keys, slot, source, target)
    results = await asyncio.gather(*came)
    await left
    await late

    assert all(result.total >= 3 for result in results)
    assert (await presence.count(COURSE)).total == 7  # bob, cleo, five who came; ada has left


async def test_others_of_the_same_master_do_not_wait(servers: Cluster, presence: Presence) -> None:
    """Whatever the length of the move: only the first exchange that meets it waits, and only a moment."""
    slot = presence.keys.partition_of(COURSE).slot
    courses = neighbours(servers, presence)
    await presence.heartbeat(said(COURSE, "ada", 1))
    with servers.migrating(slot, another(servers, slot)):
        await seen_moving(presence, slot)
        held = asyncio.ensure_future(presence.heartbeat(said(COURSE, "bob", 1)))
        await asyncio.sleep(0)
        began = monotonic()
        for n in range(5):
            results = await asyncio.gather(*(presence.heartbeat(said(one, "ada", n)) for one in courses))
            assert [result.total for result in results] == [1] * len(courses)
        took_s = monotonic() - began
        assert not held.done()
        mixed = await presence.heartbeats(
            [(write, write.seq) for write in (said(COURSE, "cleo", 1), said(courses[0], "cleo", 1))]
        )
        with pytest.raises(PresenceError):
            await held

    assert took_s < TIMEOUT_S / 2
    assert isinstance(mixed[0], PresenceError)
    assert not isinstance(mixed[1], PresenceError)


async def test_a_mixed_exchange_waits_a_moment_only(servers: Cluster, presence: Presence) -> None:
    """Before it is known that a slot is moved, its neighbours share its exchange."""
    slot = presence.keys.partition_of(COURSE).slot
    courses = neighbours(servers, presence)
    await presence.heartbeat(said(COURSE, "ada", 1))
    with servers.migrating(slot, another(servers, slot)):
        began = monotonic()
        results = await presence.heartbeats(
            [(w, w.seq) for w in (said(c, "v", 1) for c in (COURSE, *courses))]
        )
        took_s = monotonic() - began

    assert isinstance(results[0], PresenceError)
    assert not any(isinstance(result, PresenceError) for result in results[1:])
    assert sum(TRYAGAIN_S) <= took_s < TIMEOUT_S / 2


async def test_afterwards_all_go_together_again(servers: Cluster, presence: Presence) -> None:
    """A second after the last word of it the slot is one of its master's, and a leave keeps its place."""
    slot = presence.keys.partition_of(COURSE).slot
    await presence.heartbeat(said(COURSE, "ada", 1))
    with servers.migrating(slot, another(servers, slot)):
        await seen_moving(presence, slot)
    for seq in range(20):
        viewer = f"v{seq}"
        beat = asyncio.ensure_future(presence.heartbeat(said(COURSE, viewer, 1)))
        leave = LeaveWrite(COURSE, viewer, Leave(viewer_id=viewer, seq=2))
        await asyncio.gather(beat, asyncio.ensure_future(presence.leave(leave)))
        assert (await presence.count(COURSE)).total == 1  # ada
        await asyncio.sleep(0.1)

    assert isinstance(presence.link, ClusterLink)
    assert presence.link.node_of(slot) == presence.link.topology.table.owner[slot]
    assert not presence.link.router.moves.until


@pytest.mark.slow
async def test_a_move_that_outlasts_leases_is_no_false_count(servers: Cluster) -> None:
    """S11, S13: nobody could be heard: this partition warms, and has a gap; who beats is back."""
    servers.empty()
    settings = load(redis_url=servers.url, ttl=2, hidden_ttl=2, heartbeat_interval=1, leave_grace=0.5)
    settings = settings.model_copy(update={"sweep_interval": 0.3})
    link = open_link(settings)
    presence, shared, agenda = Presence(link, settings), Shared(link, settings), Agenda(link, settings)
    partition = presence.keys.partition_of(COURSE)
    slot = partition.slot
    for one in presence.keys.partitions:  # all keys of what asks for what is due exist
        servers.execute(servers.owner(one.slot), "RPUSH", one.gaps, "1 2")
    (other, *_) = neighbours(servers, presence)

    async def pulse(seconds: float) -> None:
        ends = monotonic() + seconds
        while monotonic() < ends:
            await shared.refresh()
            await agenda.due(everywhere=True)
            await presence.heartbeat(said(other, "bob", 1))
            await asyncio.sleep(0.1)

    await presence.heartbeat(said(COURSE, "ada", 1))
    await pulse(2.5)
    await presence.heartbeat(said(COURSE, "ada", 2))
    before = await presence.count(COURSE)
    with servers.migrating(slot, another(servers, slot)):
        await pulse(4)
        with pytest.raises(PresenceError):
            await presence.count(COURSE)
    await pulse(0.3)
    after, there = await presence.count(COURSE), await presence.count(other)
    back = await presence.heartbeat(said(COURSE, "ada", 3))
    with_gap = {
        one.number
        for one in presence.keys.partitions
        if servers.execute(servers.owner(one.slot), "LLEN", one.gaps) > 1
    }
    await presence.close()
    await link.close()

    assert with_gap == {partition.number}
    assert (before.total, before.warming) == (1, False)
    assert (after.total, after.warming) == (0, True)
    assert (there.total, there.warming) == (1, False)
    assert back.total == 1
