"""A Cluster as tests look at it: one redis-py client per master, behind the names of one client.

What asks for keys of one course goes to their master; what asks for all there is goes to every master.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from presence_svc.store.redis.cluster.slots import slot_of
from presence_svc.store.redis.cluster.topology import Topology
from presence_svc.store.redis.link import Link
from presence_svc.store.redis.subscription import Subscription

EVERYWHERE = {"flushall", "script_flush", "eval", "config_set"}


class ClusterClient:
    """Made once the topology is known. `url` is what replicas are given."""

    def __init__(self, url: str, topology: Topology) -> None:
        self.url = url
        self.links: list[Link] = []  # of the replicas on it
        self._topology = topology

    @property
    def masters(self) -> list[Redis]:
        return [node.client for node in self._topology.masters]

    def master_of(self, key: str | bytes) -> Redis:
        address = self._topology.table.owner[slot_of(key)]
        assert address is not None
        return self._topology.node(address).client

    async def keys(self, pattern: str) -> list[bytes]:
        found: list[Any] = [name for client in self.masters for name in await client.keys(pattern)]
        return found

    async def publish_sharded(self, channel: str, data: str) -> None:
        """By the master of the channel's slot."""
        await self.master_of(channel).execute_command("SPUBLISH", channel, data)  # type: ignore[no-untyped-call]

    async def time(self) -> Any:
        return await self.masters[0].time()

    def __getattr__(self, command: str) -> Any:
        async def everywhere(*args: Any, **options: Any) -> Any:
            for client in self.masters:
                reply = await getattr(client, command)(*args, **options)
            return reply

        async def at_its_master(key: str, *args: Any, **options: Any) -> Any:
            return await getattr(self.master_of(key), command)(key, *args, **options)

        return everywhere if command in EVERYWHERE else at_its_master

    async def subscription(self, master: Redis) -> Subscription:
        """A connection to hear sharded channels of this master on."""
        node = next(node for node in self._topology.masters if node.client is master)
        return await Subscription.open(node.address, node.access, timeout_s=10, sharded=True)

    async def aclose(self) -> None:
        """Ends the replicas' ways to it; its own clients are the topology's."""
        for link in self.links:
            await link.close()


def masters_of(redis: Redis | ClusterClient) -> list[Redis]:
    """Every server that there is to look at."""
    return redis.masters if isinstance(redis, ClusterClient) else [redis]
