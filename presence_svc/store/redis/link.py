"""What store and live use to talk to Redis: scripts and commands, whichever servers they go to.

Link is what they know; ServerLink speaks to one server, cluster routes by key. Nothing is retried but what
Redis has refused to run. Raises Unavailable and nothing else for what Redis does wrong.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
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


class Link(ABC):
    """`away` while no server answers; `on_back` is called when that ends.

    `patient` is for what many may ask at once and can wait: it goes behind the others, and being slow says
    nothing of Redis. A Script in a command's second place is its SHA.
    """

    timeout_s: float
    db: int = 0
    sharded = False  # changes are published by SPUBLISH
    is_cluster = False
    version = 0
    on_places: Callable[[], object] = staticmethod(lambda: None)
    redirections: Mapping[str, int] = MappingProxyType({})  # by kind: what nodes of a Cluster sent elsewhere
    _told: frozenset[str] = frozenset()

    @property
    @abstractmethod
    def away(self) -> bool: ...

    @property
    @abstractmethod
    def refusing(self) -> str:
        """Why writes are refused now (OOM, ...), or "" when they are not."""

    @abstractmethod
    def observe(self, **hooks: Callable[..., object] | None) -> None:
        """`on_exchange(seconds)`, `on_failure()`, `on_refusal(code)` for error replies, `on_back()`."""

    @abstractmethod
    async def results(
        self, commands: Sequence[Command | ScriptCall], *, patient: bool = False
    ) -> list[Any | PresenceError]:
        """A reply or an error for each command; those to one server run in order, in one exchange."""

    @abstractmethod
    async def warm(self) -> None:
        """Waits a moment for a first connection."""

    @abstractmethod
    def places(self) -> list[Address]:
        """The servers at which changes are heard; `on_places` is called when something has moved."""

    @abstractmethod
    def place_of(self, channel: str) -> Address | None:
        """The one at which this channel is heard; None while no server has its slot."""

    @abstractmethod
    def servers(self) -> list[NodeState]:
        """Each server that holds data, as it is now."""

    @abstractmethod
    async def subscription(self, place: Address) -> Subscription:
        """A connection to hear channels on. Raises what connecting raises."""

    @abstractmethod
    async def close(self) -> None: ...

    async def start(self) -> None:  # noqa: B027 - where there is nothing to find
        """Finds what the URL names. Raises Unavailable, Misconfigured when it is another kind of Redis."""

    def hint(self) -> None:  # noqa: B027 - one server is where it is
        """Something says that slots or masters are not where they were."""

    def redirected(self, why: str, place: Address) -> Callable[[str], bool] | None:
        """Which channels a refused subscription is about if their slot has moved; None = another error."""
        return None

    def node_of(self, slot: int) -> Hashable:
        """Whose answers a slot's calls wait for; it may be another's when `version` has changed."""
        return 0

    async def call(
        self, script: Script, keys: Sequence[str], args: Sequence[Any], *, patient: bool = False
    ) -> Any:
        """Runs one script; loads it when Redis has forgotten it (a flush, a failover)."""
        command = ("EVALSHA", script, len(keys), *keys, *args)
        return (await self.pipeline([command], patient=patient))[0]

    async def pipeline(self, commands: Sequence[Command | ScriptCall], *, patient: bool = False) -> list[Any]:
        """All replies, or the first error that there was."""
        replies = await self.results(commands, patient=patient)
        for reply in replies:
            if isinstance(reply, PresenceError):
                self._tell(reply.__cause__)
                raise reply
        return replies

    def _tell(self, error: BaseException | None) -> None:
        """One line for each kind of error; health tells of states, and metrics count them all."""
        code = error.code if isinstance(error, ReplyError) else ""
        if code and code not in self._told | REFUSES_WRITES | NOT_SERVING:
            self._told |= {code}
            why = f"; it {IS_CLUSTER}" if code in OF_A_CLUSTER and not self.is_cluster else ""
            log.error("redis: %s%s (more of this kind are counted, not logged)", error, why)


class ServerLink(Link):
    """All commands go to one server."""

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

    async def results(
        self, commands: Sequence[Command | ScriptCall], *, patient: bool = False
    ) -> list[Any | PresenceError]:
        replies = await exchange(self.node, commands, patient=patient, sharded=self.sharded)
        for error in [reply.__cause__ for reply in replies if isinstance(reply, PresenceError)]:
            self._tell(error if getattr(error, "code", "") != "NOPERM" else None)  # a look may be forbidden
        return replies

    async def warm(self) -> None:
        await self.node.warm()

    def places(self) -> list[Address]:
        return [self.node.address]

    def place_of(self, channel: str) -> Address:
        return self.node.address

    def servers(self) -> list[NodeState]:
        return [self.node.state]

    async def subscription(self, place: Address) -> Subscription:
        return await Subscription.open(place, self.node.access, sharded=self.sharded, turn=self.node.turn)

    async def start(self) -> None:
        deadline = asyncio.get_running_loop().time() + self.timeout_s
        (reply,) = await self.node.exchange([TWO_SLOTS], deadline)
        if isinstance(reply, ReplyError) and reply.code in OF_A_CLUSTER:
            raise Misconfigured(f"PRESENCE_REDIS_URL: {self.node.address} {IS_CLUSTER}")

    async def close(self) -> None:
        await self.node.close()


async def exchange(
    node: Node, commands: Sequence[Command | ScriptCall], *, patient: bool = False, sharded: bool = False
) -> list[Any | PresenceError]:
    """One round trip, two when a script was unknown: then what follows it has run too early.

    All from there on is sent again, in order: scripts write leases and seqs, not differences, so that
    what has run may run twice. Raises Unavailable when nothing came.
    """
    deadline = asyncio.get_running_loop().time() + node.timeout_s
    packed = [by_sha(command, sharded=sharded) for command in commands]
    may_retry = may_repeat(commands)
    replies = await node.exchange(packed, deadline, patient=patient, may_retry=may_retry)
    for at, reply in enumerate(replies):
        if type(reply) is ReplyError:
            if reply.code == "NOSCRIPT":
                again = [by_text(command, sharded=sharded) for command in commands[at:]]
                replies[at:] = await node.exchange(again, deadline, patient=patient)
            return [error_of(reply) if type(reply) is ReplyError else reply for reply in replies]
    return replies
