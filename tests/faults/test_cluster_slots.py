"""Slots on the move under load, key by key and at once; nodes added and removed; channels follow (S15)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic, monotonic_ns
from typing import Any

import pytest

from presence_svc.errors import PresenceError
from presence_svc.model import Heartbeat, Leave
from presence_svc.settings import load
from presence_svc.store.keys import Keys
from presence_svc.store.presence import Presence
from presence_svc.store.redis.cluster.link import ClusterLink
from presence_svc.store.redis.cluster.slots import SLOTS
from presence_svc.store.redis.factory import open_link
from presence_svc.store.write import HeartbeatWrite, LeaveWrite
from tests.cluster_rig import Cluster, cluster
from tests.conftest import SpawnService
from tests.faults.many_courses import INTERVAL_S, Courses, Streams
from tests.faults.test_cluster import EACH, NAMES, stage
from tests.live.eventually import eventually
from tests.rig import DEBIAN, VALKEY

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]
PARTITIONS = 16  # few, so that moving some slots moves many courses


@pytest.fixture
def servers() -> Iterator[Cluster]:
    """Three masters without replicas: what is under test is where slots are."""
    with cluster(replicas=0) as made:
        yield made


def slots_of_courses(first: int, end: int) -> list[int]:
    """The slots of partitions, from one number to another: all others are empty, and soon moved."""
    keys = Keys("presence", PARTITIONS)
    return [partition.slot for partition in keys.partitions[first:end]]


async def _hold(courses: Courses, streams: Streams, began: float, *, refused: float) -> None:
    """Nobody lost for more than an interval, nothing false, and not more refused than a share."""
    await eventually("right", courses.are_right, within_s=INTERVAL_S + 5)
    moved = courses.since(began)
    wrong = [answer for answer in moved if answer.status != 200]
    print(f"{len(wrong)} of {len(moved)} heartbeats refused, p99 {courses.p99_ms(moved)} ms")
    assert {answer.status for answer in wrong} <= {503}
    assert len(wrong) <= refused * len(moved)
    assert streams.low(EACH) == []
    assert streams.versions_grow()


@pytest.mark.parametrize("way", ["key by key", "at once"])
async def test_resharding_under_load(servers: Cluster, spawn_service: SpawnService, way: str) -> None:
    """S6, S8, S15: slots go to another master and back: nobody lost, leaves hold, nothing false."""
    reshard = servers.reshard if way == "key by key" else servers.reshard_at_once
    env = {"PRESENCE_PARTITIONS": str(PARTITIONS)}
    async with stage(servers, spawn_service, **env) as (_, courses, streams), store(servers.url) as presence:
        began = monotonic()
        for target in (servers.servers[1], servers.servers[0]):
            moving = asyncio.create_task(asyncio.to_thread(reshard, slots_of_courses(0, 12), target))
            while not moving.done():
                await _leave_and_stay_gone(presence)
            await moving
        print(f"{way}: {monotonic() - began:.1f} s for 24 moves of a partition, ", end="")
        await _hold(courses, streams, began, refused=0.05)


@asynccontextmanager
async def store(url: str) -> AsyncIterator[Presence]:
    """The store of another replica, without HTTP."""
    settings = load(redis_url=url, partitions=PARTITIONS)
    link = open_link(settings)
    presence = Presence(link, settings)
    try:
        yield presence
    finally:
        await presence.close()
        await link.close()


async def _leave_and_stay_gone(presence: Presence) -> None:
    """A leave is not undone by what comes late, wherever its slot is by then."""
    for n in range(8):
        course, session = f"other-{n}", f"s-{monotonic_ns()}"
        late = HeartbeatWrite(course, "visitor", Heartbeat(viewer_id="visitor", session_id=session, seq=1))
        leave = LeaveWrite(course, "visitor", Leave(viewer_id="visitor", session_id=session, seq=2))
        await _until_taken(partial(presence.heartbeat, late))
        await _until_taken(partial(presence.leave, leave))
        again = await _until_taken(partial(presence.heartbeat, late))
        assert again.expires_at <= again.as_of
        assert (await _until_taken(partial(presence.count, course))).total == 0


async def _until_taken(send: Callable[[], Awaitable[Any]]) -> Any:
    """As a page does: again, when it was refused."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await send()
            except PresenceError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", [VALKEY, DEBIAN])
async def test_heartbeats_into_a_migrating_slot(kind: str) -> None:
    """S15: sixteen at once, some keys here and some there: each is taken or refused in time, none is lost."""
    with cluster(replicas=0, kind=kind) as servers:
        async with store(servers.url) as presence:
            course = "in-motion"
            slot = presence.keys.partition_of(course).slot
            for viewer in range(8):
                await presence.heartbeat(_said(course, viewer, 1))
            target = next(server for server in servers.servers if server is not servers.owner(slot))
            with servers.migrating(slot, target):
                began = monotonic()
                found = await asyncio.gather(
                    *(presence.heartbeat(_said(course, viewer, 2)) for viewer in range(16)),
                    return_exceptions=True,
                )
                took_s = monotonic() - began
                new = await asyncio.gather(
                    *(presence.heartbeat(_said(f"new-{n}", 1, 1)) for n in range(16)), return_exceptions=True
                )
            assert all(not isinstance(f, BaseException) or isinstance(f, PresenceError) for f in found + new)
            assert took_s < 1.5
            for viewer in range(16):
                await _until_taken(partial(presence.heartbeat, _said(course, viewer, 3)))
            assert (await presence.count(course)).total == 16
            refused = sum(isinstance(f, PresenceError) for f in found)
            link = presence.link
            assert isinstance(link, ClusterLink)
            counted = dict(link.router.redirections)
            print(f"migrating: {refused} of 16 refused in {took_s * 1000:.0f} ms, {counted}")


def _said(course: str, viewer: int, seq: int) -> HeartbeatWrite:
    return HeartbeatWrite(course, f"v{viewer}", Heartbeat(viewer_id=f"v{viewer}", chapter_id="ch", seq=seq))


async def test_a_node_is_added_and_removed(servers: Cluster, spawn_service: SpawnService) -> None:
    """S15: a new master takes a third of the courses and gives them back: nobody notices but Redis."""
    env = {"PRESENCE_PARTITIONS": str(PARTITIONS)}
    async with stage(servers, spawn_service, **env) as (_, courses, streams):
        began = monotonic()
        new = await asyncio.to_thread(servers.add_server)
        await asyncio.to_thread(servers.join, new)
        await asyncio.to_thread(servers.reshard_at_once, slots_of_courses(0, 5), new)
        await eventually("right there", courses.are_right, within_s=INTERVAL_S + 5)
        back = next(server for server in servers.servers if server is not new)
        await asyncio.to_thread(servers.reshard_at_once, slots_of_courses(0, 5), back)
        await asyncio.to_thread(servers.leave, new)
        await asyncio.sleep(INTERVAL_S)
        print("added and removed: ", end="")
        await _hold(courses, streams, began, refused=0.05)


async def test_a_storm_of_sunsubscribes(servers: Cluster, spawn_service: SpawnService) -> None:
    """S8, S15: the slot of a watched course moves to and fro all the time: the stream ends with the truth."""
    env = {"PRESENCE_PARTITIONS": str(PARTITIONS)}
    async with stage(servers, spawn_service, **env) as (_, _, streams), store(servers.url) as presence:
        slot = presence.keys.partition_of(NAMES[0]).slot
        for n in range(8):
            await asyncio.to_thread(servers.reshard, [slot], servers.servers[n % 3])
        late = HeartbeatWrite(NAMES[0], "late", Heartbeat(viewer_id="late"))
        began = monotonic()
        await _until_taken(partial(presence.heartbeat, late))
        await eventually(
            "the late one is seen", lambda: streams.counts[NAMES[0]][-1]["total"] == EACH + 1, within_s=10
        )
        print(f"storm: seen {monotonic() - began:.2f} s after the heartbeat")
        await _until_taken(partial(presence.leave, LeaveWrite(NAMES[0], "late", Leave(viewer_id="late"))))
        await eventually("and gone", lambda: streams.counts[NAMES[0]][-1]["total"] == EACH, within_s=10)
        assert streams.versions_grow()


def test_partitions_are_where_they_are_looked_for() -> None:
    """The slots that tests move hold what they think."""
    assert len(set(slots_of_courses(0, PARTITIONS))) == PARTITIONS
    assert all(0 <= slot < SLOTS for slot in slots_of_courses(0, PARTITIONS))
