"""The link to a Redis Cluster: each command goes to the master of its key's slot.

A node that is away fails its own commands and no others. The router follows redirections; the topology
knows which node owns which slot.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ....errors import PresenceError, Unavailable
from ..health import Absence
from ..link import Command, Link
from ..node import NodeState
from ..resp import ScriptCall
from ..subscription import Subscription
from ..url import Access, Address
from .router import Router
from .script_caches import ScriptCaches
from .slot_table import read_redirection
from .slots import slot_of
from .topology import Topology

RETRY_S = 0.2


class ClusterLink(Link):
    """`agree` is awaited once before any other command; it raises Misconfigured if it rejects the Cluster.

    `probes` has, for some slots, a packed command that shows whether their master accepts writes.
    """

    is_cluster = True

    def __init__(
        self,
        topology: Topology,
        access: Access,
        *,
        timeout_s: float,
        sharded: bool,
        probes: Mapping[int, bytes] = MappingProxyType({}),
    ) -> None:
        self.topology = topology
        self.timeout_s = timeout_s
        self.router = Router(topology, timeout_s=timeout_s, sharded=sharded)
        self.redirections = self.router.redirections
        self.agree: Callable[[ClusterLink], Awaitable[None]] | None = None
        self.sharded = sharded
        self._access = access
        self._scripts = ScriptCaches(access)
        self._probes = probes
        self._global: Address | None = None  # where to subscribe to channels that are not sharded
        topology.on_change = self._moved
        topology.on_refresh = lambda: self._scripts.follow(self._nodes)
        self.router.moves.on_change = self._regroup
        self._is_ready = False
        self._starting: asyncio.Task[None] | None = None
        self._tried_at = 0.0
        self._absence = Absence()

    @property
    def away(self) -> bool:
        masters = self.topology.masters
        return bool(masters) and all(node.away for node in masters)

    @property
    def refusing(self) -> str:
        """Set only while all masters refuse writes; one that does so alone fails its own commands."""
        found = [node.health.refusing for node in self.topology.masters]
        return found[0] if found and all(found) else ""

    def observe(self, **hooks: Callable[..., object] | None) -> None:
        self.topology.observe(**hooks)

    def pubsub_addresses(self) -> list[Address]:
        masters = self.topology.table.masters
        if self.sharded or not masters:
            return masters
        if self._global not in masters:
            alive = [node.address for node in self.topology.masters if not node.away]
            self._global = random.choice(alive or masters)
        return [self._global]

    def pubsub_address(self, channel: str) -> Address | None:
        if self.sharded:
            return self.topology.table.owner[slot_of(channel)]
        return next(iter(self.pubsub_addresses()), None)

    def servers(self) -> list[NodeState]:
        return [node.state for node in self.topology.masters]

    async def subscription(self, address: Address) -> Subscription:
        return await Subscription.open(address, self._access, sharded=self.sharded)

    def hint(self) -> None:
        self.topology.hint()

    def redirected(self, why: str, address: Address) -> Callable[[str], bool] | None:
        if not why.startswith("MOVED "):
            return None
        slot, address = read_redirection(why, address, self.topology.reached)
        self.topology.moved(slot, address)
        return lambda channel: slot_of(channel) == slot

    def node_of(self, slot: int) -> Hashable:
        owner = self.topology.table.owner[slot]
        moves = self.router.moves
        return (owner, slot) if moves.until and slot in moves else owner

    def _moved(self) -> None:
        self._regroup()
        for slot, probe in self._probes.items():
            if (owner := self.topology.table.owner[slot]) is not None:
                self.topology.node(owner).health.probe = probe
        self.on_topology_change()

    @property
    def _nodes(self) -> list[Address]:
        table = self.topology.table
        return [*table.masters, *table.replicas]

    async def load_scripts(self, texts: Sequence[str]) -> None:
        """Loads these scripts into all nodes, now, and from now on into those found later. Raises nothing."""
        self._scripts.texts = texts
        await self._scripts.load(self._nodes)

    def _regroup(self) -> None:
        self.version += 1

    async def warm(self) -> None:
        """Nothing to do: `start` has connected to the masters."""

    async def start(self) -> None:
        """Finds the masters. Raises Unavailable; Misconfigured if this is not a Cluster that we can use."""
        if self._is_ready:
            return
        now = asyncio.get_running_loop().time()
        if self._starting is None or (self._starting.done() and now - self._tried_at > RETRY_S):
            self._starting = asyncio.get_running_loop().create_task(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        self._tried_at = asyncio.get_running_loop().time()
        try:
            await self.topology.start()
            if self.agree is not None:
                await self.agree(self)
        except PresenceError as error:
            self._absence.begin(error.detail)
            raise
        self._absence.end()
        self._is_ready = True

    async def close(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
        await self._scripts.close()
        await self.topology.close()

    async def results(
        self, commands: Sequence[Command | ScriptCall], *, low_priority: bool = False
    ) -> list[Any | PresenceError]:
        if not self._is_ready:
            try:
                async with asyncio.timeout(self.timeout_s):
                    await self.start()
            except TimeoutError:
                return [Unavailable("the cluster does not answer yet") for _ in commands]
            except PresenceError as error:
                return [Unavailable(error.detail) for _ in commands]
        return await self.router.send(commands, low_priority=low_priority)
