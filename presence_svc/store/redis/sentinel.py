"""A link to the current master as Sentinels name it, which follows that master through failovers.

A Sentinel announces a switch; besides that the link asks again, often while the master is away or refuses
writes, so that callers reach a new master a fraction of a second after there is one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import PresenceError, Unavailable
from .health import Absence
from .link import Command, ServerLink
from .node import Node, ask
from .resp import ScriptCall, packed_command
from .sentinels import EVERY_S, LOST, Sentinels
from .url import Address

log = logging.getLogger("presence.redis")
AWAY_S = 0.2
ROLE = packed_command("ROLE")


class SentinelLink(ServerLink):
    """`make_node` makes the node for the address of a new master."""

    def __init__(
        self, sentinels: Sentinels, make_node: Callable[[Address], Node], *, sharded: bool = False
    ) -> None:
        super().__init__(make_node(Address("", 0)), sharded=sharded)
        self.node.health.away = True  # until a master is found
        self._sentinels = sentinels
        self._make_node = make_node
        self._hooks: dict[str, Callable[..., object]] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._starting: asyncio.Task[None] | None = None
        self._absence = Absence()

    async def start(self) -> None:
        """Finds the master and starts watching for switches. Raises Unavailable."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._run()), loop.create_task(self._listen())]
        if self.node.address.port == 0:
            await self._find_master()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.node.close()

    def observe(self, **hooks: Callable[..., object] | None) -> None:
        self._hooks.update({name: hook for name, hook in hooks.items() if hook is not None})
        super().observe(**hooks)

    async def results(
        self, commands: Sequence[Command | ScriptCall], *, low_priority: bool = False
    ) -> list[Any | PresenceError]:
        if not self._tasks:
            try:
                async with asyncio.timeout(self.timeout_s):
                    await self.start()
            except TimeoutError:
                raise Unavailable("the Sentinels do not answer yet") from None
        try:
            return await super().results(commands, low_priority=low_priority)
        except Unavailable:
            self.hint()
            raise

    def hint(self) -> None:
        self._wake.set()

    def pubsub_addresses(self) -> list[Address]:
        return super().pubsub_addresses() if self.node.address.port else []

    async def _run(self) -> None:
        while True:
            away = self.node.away
            try:
                async with asyncio.timeout(AWAY_S if away else EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._find_master()
            except Unavailable as error:
                if self.node.address.port:
                    log.debug("%s", error)
                else:  # there is no node yet that could log why
                    self._absence.begin(error.detail)
            except Exception:
                log.exception("the search for the master failed")
            if self.node.away:
                await asyncio.sleep(AWAY_S / 2)

    async def _listen(self) -> None:
        while True:
            try:
                await self._sentinels.listen(self.hint)
            except LOST as error:
                log.debug("sentinel: %s", str(error) or type(error).__name__)
            except Exception:
                log.exception("listening to a Sentinel failed")
            await asyncio.sleep(AWAY_S)

    async def _find_master(self) -> None:
        """Switches to another server that the Sentinels name, once it says itself that it is the master."""
        for address in await self._sentinels.masters():
            if address == self.node.address:
                return
            if await self._is_master(address):
                await self._switch(address)
                return
        raise Unavailable("the server that the Sentinels name is not a master yet")

    async def _is_master(self, address: Address) -> bool:
        try:
            role = await ask(address, self.node.access, ROLE, self.timeout_s)
        except LOST as error:
            log.debug("%s: %s", address, str(error) or type(error).__name__)
            return False
        return bool(role[0] == b"master")

    async def _switch(self, address: Address) -> None:
        before, self.node = self.node, self._make_node(address)
        super().observe(**self._hooks)
        if before.address.port:
            log.warning("redis: the master is now %s", address)
        self._absence.end()
        await before.close()
        self.on_topology_change()
        self._hooks.get("on_back", lambda: None)()
