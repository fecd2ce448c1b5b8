"""Connections to a Cluster that are cut off under way: what may run twice does, where its slot is (S15)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest

from presence_svc.errors import Unavailable
from presence_svc.model import Heartbeat, Leave
from presence_svc.settings import load
from presence_svc.store.presence import Presence
from presence_svc.store.redis.cluster.embedded import LOCAL, ClusterServer
from presence_svc.store.redis.factory import open_link
from presence_svc.store.write import NEWEST, HeartbeatWrite, LeaveWrite, WithSeq
from tests.cluster_rig import Cluster, cluster
from tests.live.eventually import eventually
from tests.live.proxy import Proxy

pytestmark = pytest.mark.timeout(60)
COURSE = "c1"
GENEROUS_S = 15.0


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    """Three masters, between which these tests move a slot."""
    with cluster(replicas=0) as made:
        yield made


class Way(NamedTuple):
    """A store, and the proxies through which it reaches each server, by the server's port."""

    servers: Cluster
    presence: Presence
    proxies: dict[int, Proxy]

    @property
    def slot(self) -> int:
        return self.presence.keys.partition_of(COURSE).slot

    @property
    def owner(self) -> ClusterServer:
        return self.servers.owner(self.slot)

    @property
    def another(self) -> ClusterServer:
        return next(server for server in self.servers.servers if server is not self.owner)

    def total(self) -> int:
        """How many viewers the slot's owner has."""
        return int(self.servers.execute(self.owner, "ZCARD", self.presence.keys.course(COURSE).viewers))

    def calls(self, server: ClusterServer, command: str) -> int:
        """How often a server has run a command."""
        found = self.servers.execute(server, "INFO", "commandstats")
        return int(found.get(f"cmdstat_{command}", {"calls": 0})["calls"])

    async def cut_off(
        self,
        at: ClusterServer,
        asked: Awaitable[Any],
        has_run: Callable[[], object],
        meanwhile: Callable[[], object] = lambda: None,
    ) -> Any:
        """Awaits `asked`, whose first reply is lost with the connection, after it `has_run`."""
        proxy = self.proxies[at.port]
        proxy.swallow_replies = True
        waiting = asyncio.ensure_future(asked)
        await eventually("it has run", has_run, within_s=GENEROUS_S)
        await asyncio.to_thread(meanwhile)
        assert not waiting.done()
        proxy.cut()
        proxy.swallow_replies = False
        return await asyncio.wait_for(waiting, GENEROUS_S)


@pytest.fixture
async def way(servers: Cluster) -> AsyncIterator[Way]:
    servers.empty()
    async with AsyncExitStack() as stack:
        proxies = {
            server.port: await stack.enter_async_context(Proxy(server.server.url))
            for server in servers.servers
        }
        reached = [f"{LOCAL}:{port}={proxy.url.removeprefix('redis://')}" for port, proxy in proxies.items()]
        settings = load(redis_url=servers.url, redis_addresses=",".join(reached))
        link = open_link(settings, timeout_s=GENEROUS_S)
        stack.push_async_callback(link.close)
        presence = Presence(link, settings)
        stack.push_async_callback(presence.close)
        await link.start()
        await presence.heartbeat(*said("first"))
        await presence.leave(leave("nobody"))
        await presence.count(COURSE)
        yield Way(servers, presence, proxies)


def said(viewer: str, seq: int = 1) -> WithSeq:
    write = HeartbeatWrite(COURSE, viewer, Heartbeat(viewer_id=viewer, chapter_id="ch", seq=seq))
    return write, write.seq


def leave(viewer: str) -> LeaveWrite:
    return LeaveWrite(COURSE, viewer, Leave(viewer_id=viewer))


async def test_what_may_run_twice_is_asked_again(way: Way) -> None:
    """A heartbeat, a leave and a count have run, and their replies are lost: nobody is told of it."""
    came = await way.cut_off(way.owner, way.presence.heartbeat(*said("ada")), lambda: way.total() == 2)
    gone = await way.cut_off(way.owner, way.presence.leave(leave("first")), lambda: way.total() == 1)
    before = way.calls(way.owner, "evalsha")
    count = await way.cut_off(
        way.owner, way.presence.count(COURSE), lambda: way.calls(way.owner, "evalsha") > before
    )

    assert (came.total, gone, count.total) == (2, None, 1)
    assert not way.presence.link.away


async def test_what_counts_up_is_not(way: Way) -> None:
    """It has run once, and who asked is told that nobody knows."""
    key = f"{way.presence.keys.partition_of(COURSE).base}n"
    (reply,) = await way.cut_off(
        way.owner,
        way.presence.link.results([("INCR", key)]),
        lambda: way.servers.execute(way.owner, "EXISTS", key),
    )

    assert isinstance(reply, Unavailable)
    assert int(way.servers.execute(way.owner, "GET", key)) == 1


async def test_a_session_starts_over_once(way: Way) -> None:
    """S6: with the seq "+" it is newer than a leave that came in the meantime: it is not recorded again."""

    def leaves() -> None:
        with way.servers.client_of(way.owner) as client:
            client.zrem(way.presence.keys.course(COURSE).viewers, "ada")

    with pytest.raises(Unavailable):
        await way.cut_off(
            way.owner,
            way.presence.heartbeat(said("ada")[0], NEWEST),
            lambda: way.total() == 2,
            leaves,
        )

    assert way.total() == 1


async def test_a_slot_that_has_moved_is_followed(way: Way) -> None:
    """A heartbeat has run, its slot moves, then the connection is cut: it is asked where the slot is now."""
    source, target = way.owner, way.another
    came = await way.cut_off(
        source,
        way.presence.heartbeat(*said("ada")),
        lambda: way.total() == 2,
        lambda: way.servers.reshard_at_once([way.slot], target),
    )

    assert way.owner is target
    assert way.presence.link.redirections["moved"] == 1
    assert came.total == way.total() == 2


async def test_a_slot_that_is_moving_is_asked_for(way: Way) -> None:
    """A key is at the target already, and the connection to that is cut: ASKING is sent again as well."""
    source, target, key = way.owner, way.another, way.presence.keys.course(COURSE).viewers
    with way.servers.migrating(way.slot, target):
        way.servers.move_keys(way.slot, source, target)
        before = way.calls(target, "zcard")
        replies = await way.cut_off(
            target, way.presence.link.results([("ZCARD", key)]), lambda: way.calls(target, "zcard") > before
        )

    assert replies == [1]
    assert way.presence.link.redirections["ask"] == 1
