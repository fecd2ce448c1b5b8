"""What store and live use to talk to Redis: scripts and commands, whichever servers they go to.

Link is what they know; ServerLink speaks to one server, cluster routes by key. Nothing is retried but what
Redis has refused to run. Raises Unavailable and nothing else for what Redis does wrong.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.client import PubSub

from ...errors import PresenceError, Unavailable
from ..scripts import Script
from .node import Node
from .reply import NOT_SERVING, REFUSES_WRITES, ReplyError
from .resp import ScriptCall, packed_command

__all__ = ["Command", "Link", "PubSub", "ServerLink"]

Command = tuple[Any, ...]
log = logging.getLogger("presence.redis")


class Link(ABC):
    """`away` while no server answers; `on_back` is called when that ends.

    Everywhere `patient` is for what may be asked by many at once and can wait: it goes behind the others, and
    its being slow does not count against Redis. A Script in a command's second place is its SHA.
    """

    timeout_s: float
    db: int = 0
    _told: frozenset[str] = frozenset()

    @property
    @abstractmethod
    def away(self) -> bool: ...

    @property
    @abstractmethod
    def refusing(self) -> str:
        """Why writes are refused now (OOM, ...), or "" when they are not."""

    @abstractmethod
    def observe(
        self,
        *,
        on_back: Callable[[], object] | None = None,
        on_exchange: Callable[[float], object] | None = None,
        on_failure: Callable[[], object] | None = None,
        on_refusal: Callable[[str], object] | None = None,
    ) -> None:
        """Who is to hear of exchanges (their seconds), failures, error replies and Redis's return."""

    @abstractmethod
    async def results(
        self, commands: Sequence[Command | ScriptCall], *, patient: bool = False
    ) -> list[Any | PresenceError]:
        """A reply or an error for each command; those to one server run in order, in one exchange."""

    @abstractmethod
    async def warm(self) -> None:
        """Waits a moment for a first connection, or a slow Redis would be an absent one at start."""

    @abstractmethod
    def pubsub(self) -> PubSub:
        """A subscription's connection, of redis-py."""

    @abstractmethod
    async def close(self) -> None: ...

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
            log.error("redis: %s (more of this kind are counted, not logged)", error)


class ServerLink(Link):
    """All commands go to one server."""

    def __init__(self, node: Node) -> None:
        self.node = node
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
        return await exchange(self.node, commands, patient=patient)

    async def warm(self) -> None:
        await self.node.warm()

    def pubsub(self) -> PubSub:
        return self.node.client.pubsub()

    async def close(self) -> None:
        await self.node.close()


async def exchange(
    node: Node, commands: Sequence[Command | ScriptCall], *, patient: bool = False
) -> list[Any | PresenceError]:
    """One round trip, two when a script was unknown: then what follows it has run too early.

    All from there on is sent again, in order: scripts write leases and seqs, not differences, so that
    what has run may run twice. Raises Unavailable when nothing came.
    """
    deadline = asyncio.get_running_loop().time() + node.timeout_s
    replies = await node.exchange([by_sha(command) for command in commands], deadline, patient=patient)
    for at, reply in enumerate(replies):
        if type(reply) is ReplyError:
            if reply.code == "NOSCRIPT":
                again = list(map(by_text, commands[at:]))
                replies[at:] = await node.exchange(again, deadline, patient=patient)
            return [error_of(reply) if type(reply) is ReplyError else reply for reply in replies]
    return replies


def error_of(reply: ReplyError) -> Unavailable:
    """What callers learn of an error reply."""
    if reply.code in REFUSES_WRITES | NOT_SERVING:
        error = Unavailable("Redis takes no writes now")
    else:
        error = Unavailable("Redis answered with an error")
    error.__cause__ = reply
    return error


def by_sha(command: Command | ScriptCall) -> bytes:
    """The command as it is sent first: a script by its SHA."""
    if isinstance(command, ScriptCall):
        return command.by_sha()
    if command[0] == "EVALSHA":
        command = (command[0], command[1].sha, *command[2:])
    return packed_command(*command)


def by_text(command: Command | ScriptCall) -> bytes:
    """The command as it is sent when Redis does not know the script: EVAL also loads it."""
    if isinstance(command, ScriptCall):
        return command.by_text()
    if command[0] == "EVALSHA":
        command = ("EVAL", command[1].text, *command[2:])
    return packed_command(*command)
