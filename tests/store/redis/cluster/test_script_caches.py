"""A Cluster's nodes know the scripts before the first call, also replicas and nodes that come later (S15)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from presence_svc.model import Heartbeat
from presence_svc.settings import load
from presence_svc.store.checkup.preflight import preflight
from presence_svc.store.presence import Presence
from presence_svc.store.redis.cluster.embedded import ClusterServer
from presence_svc.store.redis.cluster.link import ClusterLink
from presence_svc.store.redis.factory import open_link
from presence_svc.store.scripts import every_script
from presence_svc.store.write import HeartbeatWrite, WithSeq
from tests.cluster_rig import Cluster, cluster
from tests.live.eventually import eventually

pytestmark = pytest.mark.timeout(90)
COURSES = [f"c{n}" for n in range(60)]
SHAS = [script.sha for script in every_script(sharded=True)]


@asynccontextmanager
async def started(url: str) -> AsyncIterator[Presence]:
    """The store of a replica that has checked its Cluster."""
    settings = load(redis_url=url)
    link = open_link(settings, timeout_s=10)
    presence = Presence(link, settings)
    try:
        await preflight(link, presence.keys, warns=True)
        await link.start()
        yield presence
    finally:
        await presence.close()
        await link.close()


def said(course: str) -> WithSeq:
    write = HeartbeatWrite(course, "ada", Heartbeat(viewer_id="ada"))
    return write, write.seq


async def knows_master(presence: Presence, slot: int, master: ClusterServer) -> None:
    """Waits until it knows a slot's new master: what is redirected is sent by its text."""
    assert isinstance(presence.link, ClusterLink)
    topology = presence.link.topology

    async def is_known() -> bool:
        await topology.refresh()
        owner = topology.table.owner[slot]
        return owner is not None and owner.port == master.port

    await eventually("the new master is known", is_known, within_s=20)


def knows_all(servers: Cluster, server: ClusterServer) -> bool:
    return all(servers.execute(server, "SCRIPT EXISTS", *SHAS))


def texts_sent(servers: Cluster, server: ClusterServer) -> int:
    """How many calls a server got by their text."""
    return int(servers.execute(server, "INFO", "commandstats").get("cmdstat_eval", {"calls": 0})["calls"])


async def test_no_call_is_sent_by_its_text() -> None:
    """After a start, after a failover by hand, and at a node that has joined: each knows all scripts."""
    with cluster() as servers:
        async with started(servers.url) as presence:
            for server in servers.servers:  # masters may hear of the replicas of a new Cluster only now
                is_loaded = partial(knows_all, servers, server)
                await eventually("it is loaded", is_loaded, within_s=40)
            await presence.heartbeats([said(course) for course in COURSES])

            promoted = await asyncio.to_thread(servers.fail_over, servers.servers[0])
            await knows_master(presence, 0, promoted)
            await presence.heartbeats([said(course) for course in COURSES])

            joined = servers.add_server()
            await asyncio.to_thread(servers.join, joined)
            slot = presence.keys.partition_of("c1").slot
            await asyncio.to_thread(servers.reshard_at_once, [slot], joined)
            await knows_master(presence, slot, joined)
            await eventually("the new node is loaded", lambda: knows_all(servers, joined), within_s=20)
            await presence.heartbeat(*said("c1"))

        assert servers.owner(slot) is joined
        assert servers.owner(0) is promoted
        assert [texts_sent(servers, server) for server in servers.servers] == [0] * 7


async def test_who_may_not_load_them_sends_their_text() -> None:
    """SCRIPT LOAD is forbidden, as by the rights in docs/redis.md: the first calls are longer, and work."""
    with cluster(replicas=0) as servers:
        for server in servers.servers:
            servers.execute(server, "ACL SETUSER", "default", "-script|load")
        async with started(servers.url) as presence:
            await presence.heartbeats([said(course) for course in COURSES])
            counts = await presence.counts(COURSES)

        assert {count.total for count in counts} == {1}
        assert not any(knows_all(servers, server) for server in servers.servers)
