"""The way to a Redis Cluster: each command goes to the master of its key's slot. One exchange per master at once.

What a node says about slots is acted on within the same deadline. Whatever is sent again takes the later commands
of its slot along, in order: a leave must not overtake the heartbeat behind it. A node that is away fails its own
commands, and no others.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any

from ....errors import PresenceError, Unavailable
from ..link import SUBSCRIBE_S, Command, Link, error_of
from ..node import Node
from ..reply import ReplyError
from ..resp import ScriptCall, packed_command
from ..subscription import Subscription
from ..url import Access, Address
from .routing import Batch, read_redirection
from .slots import slot_of
from .topology import Topology

RETRY_S = 0.2
HOPS = 4  # the first sending, and three times again
TRYAGAIN_S = (0.01, 0.02, 0.04)
ASKING = packed_command("ASKING")
OLD_TABLE = frozenset({"CLUSTERDOWN", "READONLY", "LOADING", "MASTERDOWN"})
KEY_BY_KEY = frozenset({"ASK", "TRYAGAIN"})  # the slot is being moved in the old way
NOBODY = "no node of the cluster has this course now"
MOVING = "this part of the courses is being moved to another node"


class ClusterLink(Link):
    """`agree` is awaited once before any other command goes out; it raises Misconfigured for a foreign Cluster."""

    is_cluster = True

    def __init__(self, topology: Topology, access: Access, *, timeout_s: float, sharded: bool) -> None:
        self.topology = topology
        self.timeout_s = timeout_s
        self.redirections: Counter[str] = Counter()
        self.agree: Callable[[ClusterLink], Awaitable[None]] | None = None
        self.sharded = sharded
        self._access = access
        self._global: Address | None = None  # where all channels are heard that are not sharded
        topology.on_change = self._moved
        self._is_ready = False
        self._starting: asyncio.Task[None] | None = None
        self._tried_at = 0.0

    @property
    def away(self) -> bool:
        masters = self.topology.masters
        return bool(masters) and all(node.away for node in masters)

    @property
    def refusing(self) -> str:
        """When all of them do; one that does fails its own commands."""
        found = [node.health.refusing for node in self.topology.masters]
        return found[0] if found and all(found) else ""

    def observe(self, **hooks: Callable[..., object] | None) -> None:
        self.topology.observe(**hooks)

    def places(self) -> list[Address]:
        masters = self.topology.table.masters
        if self.sharded or not masters:
            return masters
        if self._global not in masters:
            alive = [node.address for node in self.topology.masters if not node.away]
            self._global = random.choice(alive or masters)
        return [self._global]

    def place_of(self, channel: str) -> Address | None:
        if self.sharded:
            return self.topology.table.owner[slot_of(channel)]
        return next(iter(self.places()), None)

    async def subscription(self, place: Address) -> Subscription:
        return await Subscription.open(place, self._access, timeout_s=SUBSCRIBE_S, sharded=self.sharded)

    def hint(self) -> None:
        self.topology.hint()

    def redirected(self, why: str, place: Address) -> Callable[[str], bool] | None:
        if not why.startswith("MOVED "):
            return None
        slot, address = read_redirection(why, place, self.topology.reached)
        self.topology.moved(slot, address)
        return lambda channel: slot_of(channel) == slot

    def lane_of(self, slot: int) -> Hashable:
        return self.topology.table.owner[slot]

    def _moved(self) -> None:
        self.version += 1
        self.on_places()

    async def start(self) -> None:
        """Finds the masters. Raises Unavailable, and Misconfigured when this is not the Cluster that we need."""
        if self._is_ready:
            return
        now = asyncio.get_running_loop().time()
        if self._starting is None or (self._starting.done() and now - self._tried_at > RETRY_S):
            self._starting = asyncio.get_running_loop().create_task(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        self._tried_at = asyncio.get_running_loop().time()
        await self.topology.start()
        if self.agree is not None:
            await self.agree(self)
        self._is_ready = True

    async def close(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
        await self.topology.close()

    async def results(
        self, commands: Sequence[Command | ScriptCall], *, patient: bool = False
    ) -> list[Any | PresenceError]:
        if not self._is_ready:
            try:
                async with asyncio.timeout(self.timeout_s):
                    await self.start()
            except TimeoutError:
                return [Unavailable("the cluster does not answer yet") for _ in commands]
            except PresenceError as error:
                return [Unavailable(error.detail) for _ in commands]
        return await self.send(commands, patient=patient)

    async def send(
        self, commands: Sequence[Command | ScriptCall], *, patient: bool = False
    ) -> list[Any | PresenceError]:
        """As results, also before the number of partitions is agreed on."""
        batch = Batch(
            commands,
            asyncio.get_running_loop().time() + self.timeout_s,
            patient=patient,
            sharded=self.sharded,
        )
        left: Sequence[int] = range(len(commands))
        for _ in range(HOPS):
            left = await self._round(batch, left)
            if not left:
                return batch.replies
        for index in left:
            batch.replies[index] = Unavailable(MOVING)
        return batch.replies

    async def _round(self, batch: Batch, left: Sequence[int]) -> list[int]:
        """Sends these, to each node in one exchange; returns which must be sent again, in order."""
        groups: dict[Node, list[int]] = {}
        for index in left:
            node = self._node_for(batch.slots[index])
            if node is None:
                batch.replies[index] = Unavailable(NOBODY)
                self.topology.hint()
            else:
                groups.setdefault(node, []).append(index)
        if len(groups) == 1:
            ((node, group),) = groups.items()
            return await self._exchange(batch, node, group)
        again = await asyncio.gather(*(self._exchange(batch, *pair) for pair in groups.items()))
        return sorted(index for part in again for index in part)

    def _node_for(self, slot: int | None) -> Node | None:
        """The master of a slot; any that answers for a command without a key."""
        if slot is not None:
            address = self.topology.table.owner[slot]
            return None if address is None else self.topology.node(address)
        masters = self.topology.masters
        return next((node for node in masters if not node.away), masters[0] if masters else None)

    async def _exchange(self, batch: Batch, node: Node, group: list[int]) -> list[int]:
        packed = [batch.packed(index) for index in group]
        try:
            replies = await node.exchange(packed, batch.deadline, patient=batch.patient)
        except Unavailable as error:
            self.topology.hint()
            for index in group:
                batch.replies[index] = error
            return []
        again: list[int] = []
        migrating: dict[int | None, list[int]] = {}
        unsettled: set[int | None] = set()
        for index, reply in zip(group, replies, strict=True):
            slot = batch.slots[index]
            batch.replies[index] = reply
            if slot in migrating:
                migrating[slot].append(index)
            elif slot in unsettled:
                again.append(index)
            elif isinstance(reply, ReplyError) and self._is_elsewhere(batch, node, index, reply):
                if reply.code in KEY_BY_KEY:
                    migrating[slot] = [index]
                else:
                    unsettled.add(slot)
                    again.append(index)
        batch.by_text.update(again)  # the next node need not know the scripts
        if migrating:
            await asyncio.gather(*(self._one_by_one(batch, node, part) for part in migrating.values()))
        return again

    def _is_elsewhere(self, batch: Batch, node: Node, index: int, reply: ReplyError) -> bool:
        """Whether a command that was answered with an error is to go on; else the error is its answer."""
        if reply.code == "MOVED":
            self.redirections["moved"] += 1
            self.topology.moved(*read_redirection(str(reply), node.address, self.topology.reached))
            return True
        if reply.code == "NOSCRIPT" or reply.code in KEY_BY_KEY:
            return True
        if reply.code in OLD_TABLE:
            self.topology.hint()
        batch.replies[index] = _error_of(reply)
        return False

    async def _one_by_one(self, batch: Batch, node: Node, indices: list[int]) -> None:
        """The commands of a slot that is being moved key by key: each has its answer before the next goes."""
        for index in indices:
            batch.replies[index] = await self._follow(batch, node, index)

    async def _follow(self, batch: Batch, node: Node, index: int) -> Any:
        """Goes where the nodes say; where keys are at both, tries again at the one that gives them away."""
        target, is_asking, pauses = node, False, iter(TRYAGAIN_S)
        for _ in range(HOPS + len(TRYAGAIN_S)):
            commands = [ASKING, batch.packed(index)] if is_asking else [batch.packed(index)]
            try:
                reply = (await target.exchange(commands, batch.deadline, patient=batch.patient))[-1]
            except Unavailable as error:
                self.topology.hint()
                return error
            code = reply.code if isinstance(reply, ReplyError) else ""
            if code in ("MOVED", "ASK"):
                self.redirections[code.lower()] += 1
                slot, address = read_redirection(str(reply), target.address, self.topology.reached)
                target, is_asking = self.topology.node(address), code == "ASK"
                if code == "MOVED":
                    node = target
                    self.topology.moved(slot, address)
            elif code == "TRYAGAIN":
                self.redirections["tryagain"] += 1
                pause_s = next(pauses, None)
                if pause_s is None or asyncio.get_running_loop().time() + pause_s >= batch.deadline:
                    break
                await asyncio.sleep(pause_s)
                target, is_asking = node, False
            elif code == "NOSCRIPT":
                batch.by_text.add(index)
            else:
                return _error_of(reply) if isinstance(reply, ReplyError) else reply
        return Unavailable(MOVING)


def _error_of(reply: ReplyError) -> PresenceError:
    return Unavailable(NOBODY) if reply.code == "CLUSTERDOWN" else error_of(reply)
