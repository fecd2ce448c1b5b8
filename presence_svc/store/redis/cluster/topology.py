"""What a replica knows about a Cluster: which master owns which slot, and a Node for each. Used by link.

It asks the nodes again when something suggests that the table is outdated, while a master is away, and every
few seconds, because a failover is not announced to idle clients. Refuses a server that is not in a Cluster.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping

from hiredis import ProtocolError
from redis.exceptions import RedisError

from ....errors import Misconfigured, Unavailable
from ..connection import Connection, dial
from ..node import Node, ask
from ..reply import ReplyError
from ..resp import packed_command
from ..url import Access, Address
from .slot_table import Table, read_slots

log = logging.getLogger("presence.redis")
EVERY_S = 15.0
AWAY_S = 0.25  # while a master is away or a slot has no owner
PAUSE_S = 0.05  # at least, between two refreshes
CLUSTER_SLOTS = packed_command("CLUSTER", "SLOTS")
_LOST = (TimeoutError, OSError, ProtocolError, RedisError)


class Topology:
    """`on_change` is called when a slot has a new owner, `on_refresh` whenever the nodes were asked.

    `seeds` are asked when no known node answers.
    """

    def __init__(
        self,
        seeds: Iterable[Address],
        access: Access,
        make_node: Callable[[Address], Node],
        *,
        reached: Mapping[Address, Address],
        timeout_s: float,
    ) -> None:
        self.table = Table()
        self.nodes: dict[Address, Node] = {}
        self.on_change: Callable[[], object] = lambda: None
        self.on_refresh: Callable[[], object] = lambda: None
        self._hooks: dict[str, Callable[..., object]] = {}
        self._seeds = tuple(seeds)
        self._access = access
        self._make_node = make_node
        self._reached = reached
        self._timeout_s = timeout_s
        self._refresh: asyncio.Task[None] | None = None
        self._loop: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    @property
    def masters(self) -> list[Node]:
        return [self.node(address) for address in self.table.masters]

    def node(self, address: Address) -> Node:
        """The node at an address, which may own no slots yet: ASK may redirect there."""
        found = self.nodes.get(address)
        if found is None:
            found = self.nodes[address] = self._make_node(address)
            self._hook(found)
        return found

    def observe(self, **hooks: Callable[..., object] | None) -> None:
        """As Link.observe, for known nodes and for those found later."""
        self._hooks.update({name: hook for name, hook in hooks.items() if hook is not None})
        for node in self.nodes.values():
            self._hook(node)

    def _hook(self, node: Node) -> None:
        for name, hook in self._hooks.items():
            setattr(node.health if hasattr(node.health, name) else node, name, hook)

    def reached(self, address: Address) -> Address:
        """The address by which we reach an announced one."""
        return self._reached.get(address, address)

    def moved(self, slot: int, address: Address) -> None:
        """Applies a MOVED reply. If it is news, other slots may have moved too: refreshes the table."""
        if self.table.moved(slot, address):
            self.on_change()
            self.hint()

    def hint(self) -> None:
        """Asks for a refresh soon: the table may be outdated."""
        self._wake.set()

    async def start(self) -> None:
        """Raises Unavailable if no node answers, Misconfigured if it is no Cluster or is out of reach."""
        await self.refresh()
        if self._loop is None:
            await self._check_reach()
            self._loop = asyncio.get_running_loop().create_task(self._run())

    async def _check_reach(self) -> None:
        """Nodes may announce addresses that are only valid in their own network. Raises Misconfigured."""
        dials = [dial(address, self._access, timeout_s=self._timeout_s) for address in self.table.masters]
        found = await asyncio.gather(*dials, return_exceptions=True)
        for connection in found:
            if isinstance(connection, Connection):
                connection.abort()
        if not any(isinstance(connection, Connection | ReplyError) for connection in found):
            raise _unreachable(self._seeds[0], self.table)

    async def close(self) -> None:
        for task in filter(None, (self._loop, self._refresh)):
            task.cancel()
        for node in self.nodes.values():
            await node.close()

    async def refresh(self) -> None:
        """Refreshes the table; concurrent callers share one refresh. Raises Unavailable, Misconfigured."""
        if self._refresh is None or self._refresh.done():
            self._refresh = asyncio.get_running_loop().create_task(self._ask())
        await asyncio.shield(self._refresh)

    async def _run(self) -> None:
        while True:
            is_whole = self.table.unowned == 0 and not any(node.away for node in self.masters)
            pause_s = EVERY_S * random.uniform(0.8, 1.2) if is_whole else AWAY_S * random.uniform(0.8, 1.2)
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(PAUSE_S)
            self._wake.clear()
            try:
                await self.refresh()
            except (Unavailable, Misconfigured) as error:
                log.debug("the slot table could not be refreshed: %s", error)
            except Exception:
                log.exception("refreshing the slot table failed")

    async def _ask(self) -> None:
        wrong: Misconfigured | None = None
        last = ""
        for address in self._candidates():
            try:
                await self._take(await self._slots(address))
                return
            except Misconfigured as error:
                wrong = error
            except (*_LOST, ValueError) as error:
                last = f"{address}: {str(error) or type(error).__name__}"
                log.debug("no slot table from %s", last)
        raise wrong or Unavailable(f"no node of the cluster answers: {last}")

    def _candidates(self) -> list[Address]:
        """The addresses to ask, in this order: known nodes, those that are away last, then the seeds."""
        known = [*self.table.masters, *self.table.replicas]
        random.shuffle(known)
        known.sort(key=lambda address: address in self.nodes and self.nodes[address].away)
        return list(dict.fromkeys([*known, *self._seeds]))

    async def _slots(self, address: Address) -> Table:
        """Asks over a new connection, so that a busy pool does not delay it."""
        try:
            reply = await ask(address, self._access, CLUSTER_SLOTS, self._timeout_s)
        except ReplyError as error:
            if "cluster support disabled" in str(error) or "unknown command" in str(error).lower():
                raise Misconfigured(
                    f"PRESENCE_REDIS_URL: {address} is not a node of a Cluster: write redis:// (or rediss://)"
                    " instead of redis+cluster://"
                ) from None
            raise
        return read_slots(reply, address, self.reached)

    async def _take(self, table: Table) -> None:
        if not table.masters:
            raise ValueError("no node owns any slot")
        before, self.table = self.table, table
        for address in [known for known in self.nodes if known not in table.masters]:
            await self.nodes.pop(address).close()
        if before.owner != table.owner:
            self.on_change()
        self.on_refresh()


def _unreachable(seed: Address, table: Table) -> Misconfigured:
    """For a Cluster whose announced addresses are all out of reach, although one in the URL answers."""
    shown = ", ".join(map(str, table.masters[:3]))
    return Misconfigured(
        f"PRESENCE_REDIS_URL: {seed} answers, but the Cluster announces its nodes as {shown}, which cannot be"
        " reached from here: say in PRESENCE_REDIS_ADDRESSES where each is reached, or have the nodes"
        " announce others (cluster-announce-ip, cluster-announce-hostname)"
    )
