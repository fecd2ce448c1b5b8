"""What a replica knows of a Cluster: which master has which slot, and a Node for each. Used by cluster.

Asks the nodes again when something says that the table is old (at most once at a time), while a master is
away, and now and then: a failover is not announced to those who only wait. Refuses what is no Cluster.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping

from hiredis import ProtocolError
from redis.exceptions import RedisError

from ....errors import Misconfigured, Unavailable
from ..node import Node, ask
from ..reply import ReplyError
from ..resp import packed_command
from ..url import Access, Address
from ..wire import Wire, dial
from .slot_table import Table, read_slots

log = logging.getLogger("presence.redis")
EVERY_S = 15.0
AWAY_S = 0.25  # while a master is away, or a slot is nobody's
PAUSE_S = 0.05  # between two looks that were asked for
CLUSTER_SLOTS = packed_command("CLUSTER", "SLOTS")
_LOST = (TimeoutError, OSError, ProtocolError, RedisError)


class Topology:
    """`on_change` is called when another node has a slot. `seeds` are asked when no other node answers."""

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
        """Also one that has no slots yet: what is asked for there by ASK is dialled by its address."""
        found = self.nodes.get(address)
        if found is None:
            found = self.nodes[address] = self._make_node(address)
            self._hook(found)
        return found

    def observe(self, **hooks: Callable[..., object] | None) -> None:
        """As Link.observe, for the nodes that are known and those to come."""
        self._hooks.update({name: hook for name, hook in hooks.items() if hook is not None})
        for node in self.nodes.values():
            self._hook(node)

    def _hook(self, node: Node) -> None:
        for name, hook in self._hooks.items():
            setattr(node.health if hasattr(node.health, name) else node, name, hook)

    def reached(self, address: Address) -> Address:
        """Where an announced address is reached from here."""
        return self._reached.get(address, address)

    def moved(self, slot: int, address: Address) -> None:
        """A node has said so, and knows it: its slots have a new owner, perhaps more than this one."""
        if self.table.moved(slot, address):
            self.on_change()
            self.hint()

    def hint(self) -> None:
        """Something says that the table is old."""
        self._wake.set()

    async def start(self) -> None:
        """Raises Unavailable when nobody answers, Misconfigured for what is no Cluster, or not from here."""
        await self.refresh()
        if self._loop is None:
            await self._check_reach()
            self._loop = asyncio.get_running_loop().create_task(self._run())

    async def _check_reach(self) -> None:
        """Nodes may announce addresses that hold only where they are. Raises Misconfigured."""
        dials = [dial(address, self._access, timeout_s=self._timeout_s) for address in self.table.masters]
        found = await asyncio.gather(*dials, return_exceptions=True)
        for wire in found:
            if isinstance(wire, Wire):
                wire.abort()
        if not any(isinstance(wire, Wire | ReplyError) for wire in found):
            raise _unreachable(self._seeds[0], self.table)

    async def close(self) -> None:
        for task in filter(None, (self._loop, self._refresh)):
            task.cancel()
        for node in self.nodes.values():
            await node.close()

    async def refresh(self) -> None:
        """Asks once, however many want it. Raises Unavailable when nobody answers, Misconfigured."""
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
                log.debug("the cluster's table is not renewed: %s", error)
            except Exception:
                log.exception("a look at the cluster failed")

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
                log.debug("who has which slot is not said by %s", last)
        raise wrong or Unavailable(f"no node of the cluster answers: {last}")

    def _candidates(self) -> list[Address]:
        """Whom to ask, in this order: those that answer first, the away last."""
        known = [*self.table.masters, *self.table.replicas]
        random.shuffle(known)
        known.sort(key=lambda address: address in self.nodes and self.nodes[address].away)
        return list(dict.fromkeys([*known, *self._seeds]))

    async def _slots(self, address: Address) -> Table:
        """By a connection of its own: what the pool of a node is busy with does not delay it."""
        try:
            reply = await ask(address, self._access, CLUSTER_SLOTS, self._timeout_s)
        except ReplyError as error:
            if "cluster support disabled" in str(error) or "unknown command" in str(error).lower():
                raise Misconfigured(
                    f"PRESENCE_REDIS_URL: {address} is no node of a Cluster: write redis:// (or rediss://)"
                    " instead of redis+cluster://"
                ) from None
            raise
        return read_slots(reply, address, self.reached)

    async def _take(self, table: Table) -> None:
        if not table.masters:
            raise ValueError("no node has any slot")
        before, self.table = self.table, table
        for address in [known for known in self.nodes if known not in table.masters]:
            await self.nodes.pop(address).close()
        if before.owner != table.owner:
            self.on_change()


def _unreachable(seed: Address, table: Table) -> Misconfigured:
    """When none of the addresses that the nodes announce can be reached, and one in the URL can."""
    shown = ", ".join(map(str, table.masters[:3]))
    return Misconfigured(
        f"PRESENCE_REDIS_URL: {seed} answers, but the Cluster announces its nodes as {shown}, which cannot be"
        " reached from here: say in PRESENCE_REDIS_ADDRESSES where each is reached, or have the nodes"
        " announce others (cluster-announce-ip, cluster-announce-hostname)"
    )
