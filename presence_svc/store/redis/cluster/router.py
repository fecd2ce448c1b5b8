"""Sends commands to the masters of their keys and follows redirections. Used by link.

Redirections are followed within the deadline of the original request. When a command is sent again, so are
the later commands of its slot, in order: a leave must not overtake an earlier heartbeat. What a closed
connection cut off is sent again to the same node, if it may run twice; a slot that has moved is redirected.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import chain, repeat
from typing import Any

from ....errors import PresenceError, Unavailable
from ..node import Node
from ..reply import ReplyError, error_of
from ..resp import Command, ScriptCall, packed_command
from .slot_table import Batch, read_redirection
from .slots_in_transit import Moves
from .topology import Topology

HOPS = 4  # the first attempt and three more
TRYAGAIN_S = (0.01, 0.02, 0.04)
# How much of the deadline a batch of a single slot may wait for its slot to be moved. Requests that arrive in
# the meantime wait for that batch and for their own: twice as long, and still within the deadline.
HELD_SHARE = 0.5
ASKING = packed_command("ASKING")
OLD_TABLE = frozenset({"CLUSTERDOWN", "READONLY", "LOADING", "MASTERDOWN"})
KEY_BY_KEY = frozenset({"ASK", "TRYAGAIN"})  # the slot is being migrated key by key
NOBODY = "no node of the cluster has this course now"
MOVING = "this part of the courses is being moved to another node"


class Router:
    """Exchanges with all masters run in parallel. `redirections` counts those that nodes sent, by kind."""

    def __init__(self, topology: Topology, *, timeout_s: float, sharded: bool) -> None:
        self.topology = topology
        self.redirections: Counter[str] = Counter()
        self.moves = Moves()
        self._timeout_s = timeout_s
        self._sharded = sharded

    async def send(
        self, commands: Sequence[Command | ScriptCall], *, low_priority: bool = False
    ) -> list[Any | PresenceError]:
        """As Link.results, but works before the number of partitions is agreed on."""
        batch = Batch(
            commands,
            asyncio.get_running_loop().time() + self._timeout_s,
            low_priority=low_priority,
            sharded=self._sharded,
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
        """Sends these commands, one exchange per node. Returns the indices to send again, in order."""
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
        """The master of a slot; for a command without a key any master that answers."""
        if slot is not None:
            address = self.topology.table.owner[slot]
            return None if address is None else self.topology.node(address)
        masters = self.topology.masters
        return next((node for node in masters if not node.away), masters[0] if masters else None)

    async def _exchange(self, batch: Batch, node: Node, group: list[int]) -> list[int]:
        packed = [batch.packed(index) for index in group]
        try:
            replies = await _exchange(batch, node, packed, group)
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
                if slot is not None and reply.code in KEY_BY_KEY:
                    migrating[slot] = [index]
                else:
                    unsettled.add(slot)
                    again.append(index)
        batch.by_text.update(again)  # the next node need not know the scripts
        if migrating:
            await asyncio.gather(*(self._one_by_one(batch, node, part) for part in migrating.values()))
        return again

    def _is_elsewhere(self, batch: Batch, node: Node, index: int, reply: ReplyError) -> bool:
        """Whether to send a command again after this error; otherwise the error is its result."""
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
        """Sends the commands of a slot that is migrated key by key, each after the reply to the last."""
        for index in indices:
            batch.replies[index] = await self._follow(batch, node, index)

    async def _follow(self, batch: Batch, node: Node, index: int) -> Any:
        """Follows redirections; while a command's keys are on both nodes, retries at the source."""
        target, is_asking, hops, loop = node, False, 0, asyncio.get_running_loop()
        pauses = chain(TRYAGAIN_S, repeat(TRYAGAIN_S[-1])) if batch.is_of_one_slot else iter(TRYAGAIN_S)
        held_until = batch.deadline - (1 - HELD_SHARE) * self._timeout_s
        while hops < HOPS:
            hops += 1
            commands = [ASKING, batch.packed(index)] if is_asking else [batch.packed(index)]
            try:
                reply = (await _exchange(batch, target, commands, [index]))[-1]
            except Unavailable as error:
                self.topology.hint()
                return error
            code = reply.code if isinstance(reply, ReplyError) else ""
            if code in KEY_BY_KEY and (moved := batch.slots[index]) is not None:
                self.moves.saw(moved)
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
                if pause_s is None or loop.time() + pause_s >= held_until:
                    break
                await asyncio.sleep(pause_s)
                target, is_asking, hops = node, False, 0
            elif code == "NOSCRIPT":
                batch.by_text.add(index)
            else:
                return _error_of(reply) if isinstance(reply, ReplyError) else reply
        return Unavailable(MOVING)


async def _exchange(batch: Batch, node: Node, packed: list[bytes], indices: list[int]) -> list[Any]:
    """Sends these commands of a batch to a node. Raises Unavailable when no reply came."""
    is_repeatable = partial(batch.may_repeat, indices)
    priority = batch.low_priority
    return await node.exchange(packed, batch.deadline, low_priority=priority, may_repeat=is_repeatable)


def _error_of(reply: ReplyError) -> PresenceError:
    return Unavailable(NOBODY) if reply.code == "CLUSTERDOWN" else error_of(reply)
