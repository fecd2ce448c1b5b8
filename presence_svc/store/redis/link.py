"""What store and live use to talk to Redis: scripts and commands, whichever servers they go to.

Link is the interface; ServerLink talks to one server, and the cluster's link routes by key. Commands are
retried only if Redis refused to run them or they may run twice. Every failure of Redis raises Unavailable.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from ...errors import Misconfigured, PresenceError
from ..scripts import Script
from .node import Node, NodeState
from .reply import IS_CLUSTER, NOT_SERVING, REFUSES_WRITES, ReplyError, error_of
from .resp import Command, ScriptCall, by_sha, by_text, may_repeat, packed_command
from .subscription import Subscription
from .url import Address

__all__ = ["Command", "Link", "ServerLink"]
log = logging.getLogger("presence.redis")
TWO_SLOTS = packed_command("EVAL", "return 1", 2, "presence:{a}", "presence:{b}")
OF_A_CLUSTER = frozenset({"CROSSSLOT", "CLUSTERDOWN", "MOVED"})
Commands = Sequence[Command | ScriptCall]


class Link(ABC):
    """`away`: no server answers; `on_back` is called when one answers again.

    `low_priority` is for reads that many may ask for at once and that can wait: they queue behind the others,
    and a slow one is no sign that Redis is away. A Script as the second item of a command stands for its SHA.
    """

    timeout_s: float
    db: int = 0
    sharded = False  # changes are published by SPUBLISH
    is_cluster = False
    version = 0
    on_topology_change: Callable[[], object] = staticmethod(lambda: None)
    redirections: Mapping[str, int] = MappingProxyType({})  # how many a Cluster's nodes sent, by kind
    _logged: frozenset[str] = frozenset()

    @property
    @abstractmethod
    def away(self) -> bool: ...

    @property
    @abstractmethod
    def refusing(self) -> str:
        """Why Redis refuses writes now (OOM, ...); "" when it accepts them."""

    @abstractmethod
    def observe(self, **hooks: Callable[..., object] | None) -> None:
        """`on_exchange(seconds)`, `on_failure()`, `on_refusal(code)` for error replies, `on_back()`."""

    @abstractmethod
    async def results(self, commands: Commands, *, low_priority: bool = False) -> list[Any | PresenceError]:
        """A reply or an error for each command. Those to one server run in order, in one exchange."""

    @abstractmethod
    async def warm(self) -> None:
        """Waits a moment for the first connection."""

    @abstractmethod
    def pubsub_addresses(self) -> list[Address]:
        """The servers to subscribe at; `on_topology_change` is called when that changes."""

    @abstractmethod
    def pubsub_address(self, channel: str) -> Address | None:
        """The server to subscribe to this channel at; None while no server owns its slot."""

    @abstractmethod
    def servers(self) -> list[NodeState]:
        """The state of each server that holds data."""

    @abstractmethod
    async def subscription(self, address: Address) -> Subscription:
        """Opens a connection for subscriptions. Raises what connecting raises."""

    @abstractmethod
    async def close(self) -> None: ...

    async def start(self) -> None:  # noqa: B027 - not every link has something to discover
        """Finds the servers. Raises Unavailable; Misconfigured if the URL names another kind of Redis."""

    def hint(self) -> None:  # noqa: B027 - a single server does not move
        """Tells the link that slots or masters may have moved."""

    def redirected(self, why: str, address: Address) -> Callable[[str], bool] | None:
        """For a refused subscription: tells which channels' slot has moved; None for any other error."""
        return None

    def node_of(self, slot: int) -> Hashable:
        """The queue that calls for this slot wait in; it may differ once `version` has changed."""
        return 0

    async def call(
        self, script: Script, keys: Sequence[str], args: Sequence[Any], *, low_priority: bool = False
    ) -> Any:
        """Runs one script, and loads it if Redis does not know it (after a flush or a failover)."""
        command = ("EVALSHA", script, len(keys), *keys, *args)
        return (await self.pipeline([command], low_priority=low_priority))[0]

    async def pipeline(self, commands: Commands, *, low_priority: bool = False) -> list[Any]:
        """Returns all replies. Raises the first error among them."""
        replies = await self.results(commands, low_priority=low_priority)
        for reply in replies:
            if isinstance(reply, PresenceError):
                self._log_once(reply.__cause__)
                raise reply
        return replies

    def _log_once(self, error: BaseException | None) -> None:
        """Logs each kind of error once. Health logs changes of state, and metrics count every error."""
        code = error.code if isinstance(error, ReplyError) else ""
        if code and code not in self._logged | REFUSES_WRITES | NOT_SERVING:
            self._logged |= {code}
            why = f"; it {IS_CLUSTER}" if code in OF_A_CLUSTER and not self.is_cluster else ""
            log.error("redis: %s%s (more of this kind are counted, not logged)", error, why)


class ServerLink(Link):
    """Sends all commands to one server."""

    def __init__(self, node: Node, *, sharded: bool = False) -> None:
        self.node = node
        self.sharded = sharded
        self.timeout_s = node.timeout_s
        self.db = node.access.db

    @property
    def away(self) -> bool:
        return self.node.away

    @property
    def refusing(self) -> str:
        return self.node.health.refusing

    def observe(self, **hooks: Callable[..., object] | None) -> None:
        for name, hook in hooks.items():
            if hook is not None:
                setattr(self.node.health if hasattr(self.node.health, name) else self.node, name, hook)

    async def results(self, commands: Commands, *, low_priority: bool = False) -> list[Any | PresenceError]:
        replies = await exchange(self.node, commands, low_priority=low_priority, sharded=self.sharded)
        for error in [reply.__cause__ for reply in replies if isinstance(reply, PresenceError)]:
            if getattr(error, "code", "") != "NOPERM":  # an optional check may be forbidden
                self._log_once(error)
        return replies

    async def warm(self) -> None:
        await self.node.warm()

    def pubsub_addresses(self) -> list[Address]:
        return [self.node.address]

    def pubsub_address(self, channel: str) -> Address:
        return self.node.address

    def servers(self) -> list[NodeState]:
        return [self.node.state]

    async def subscription(self, address: Address) -> Subscription:
        return await Subscription.open(
            address, self.node.access, sharded=self.sharded, address_index=self.node.address_index
        )

    async def start(self) -> None:
        deadline = asyncio.get_running_loop().time() + self.timeout_s
        (reply,) = await self.node.exchange([TWO_SLOTS], deadline)
        if isinstance(reply, ReplyError) and reply.code in OF_A_CLUSTER:
            raise Misconfigured(f"PRESENCE_REDIS_URL: {self.node.address} {IS_CLUSTER}")

    async def close(self) -> None:
        await self.node.close()


async def exchange(
    node: Node, commands: Commands, *, low_priority: bool = False, sharded: bool = False
) -> list[Any | PresenceError]:
    """One round trip, or two when a script was unknown: then the commands after it have run too early.

    Everything from that script on is sent again, in order: scripts may run twice. Raises Unavailable.
    """
    deadline = asyncio.get_running_loop().time() + node.timeout_s
    packed, again = [by_sha(command, sharded=sharded) for command in commands], partial(may_repeat, commands)
    replies = await node.exchange(packed, deadline, low_priority=low_priority, may_repeat=again)
    for at, reply in enumerate(replies):
        if type(reply) is ReplyError:
            if reply.code == "NOSCRIPT":
                packed = [by_text(command, sharded=sharded) for command in commands[at:]]
                replies[at:] = await node.exchange(packed, deadline, low_priority=low_priority)
            return [error_of(reply) if type(reply) is ReplyError else reply for reply in replies]
    return replies
