"""The way to a master that Sentinels watch over: found by asking them, again when there is another.

A link as to one server; the server changes. It hears of a switch from a Sentinel, and looks by itself while
the master is away or takes no writes: nobody waits for more than a pause once there is a new one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hiredis import ProtocolError
from redis.exceptions import RedisError

from ...errors import PresenceError, Unavailable
from .link import Command, ServerLink
from .node import Node, ask
from .resp import ScriptCall, packed_command
from .subscription import Subscription
from .url import Access, Address

log = logging.getLogger("presence.redis")
EVERY_S = 15.0
AWAY_S = 0.2
SENTINEL_TIMEOUT_S = 0.5
ROLE = packed_command("ROLE")
SWITCHED = "+switch-master"
_LOST = (TimeoutError, OSError, ProtocolError, RedisError, ValueError, ConnectionError)


class Sentinels:
    """Who the master of `service` is. `reached`: where an announced address is reached from here."""

    def __init__(
        self,
        addresses: Sequence[Address],
        access: Access,
        service: str,
        reached: Mapping[Address, Address],
    ) -> None:
        self.addresses = list(addresses)
        self.access = access
        self._ask = packed_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
        self._service = service
        self._reached = reached

    async def masters(self) -> list[Address]:
        """What most of them say first. Raises Unavailable when none answers."""
        said = await asyncio.gather(*map(self._said_by, self.addresses))
        votes = Counter(address for address in said if address is not None)
        if not votes:
            raise Unavailable(f"no Sentinel knows a master named {self._service}")
        return [address for address, _ in votes.most_common()]

    async def _said_by(self, sentinel: Address) -> Address | None:
        try:
            found = await ask(sentinel, self.access, self._ask, SENTINEL_TIMEOUT_S)
            announced = Address(found[0].decode(), int(found[1])) if found else None
        except _LOST as error:
            log.debug("sentinel %s: %s", sentinel, str(error) or type(error).__name__)
            return None
        return self._reached.get(announced, announced) if announced else None

    async def listen(self, on_switch: Callable[[], object]) -> None:
        """Hears one of them for as long as it lasts. Raises what ends it."""
        subscription = await Subscription.open(
            self.addresses[0], self.access, timeout_s=SENTINEL_TIMEOUT_S, sharded=False
        )
        try:
            subscription.subscribe([SWITCHED])
            silent = False
            while True:
                event = await subscription.get(EVERY_S / 5)
                if event is None and silent:
                    raise ConnectionError("no answer")
                silent = event is None
                if event is None:
                    subscription.ping()
                elif event.kind == "message" and event.data.split(b" ")[0].decode() == self._service:
                    on_switch()
        finally:
            self.addresses.append(self.addresses.pop(0))  # the next time another one
            subscription.close()


class SentinelLink(ServerLink):
    """`make_node` makes the node of an address that is a master now."""

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

    async def start(self) -> None:
        """Finds the master, and goes on to look for it. Raises Unavailable."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._run()), loop.create_task(self._listen())]
        if self.node.address.port == 0:
            await self._look()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.node.close()

    def observe(self, **hooks: Callable[..., object] | None) -> None:
        self._hooks.update({name: hook for name, hook in hooks.items() if hook is not None})
        super().observe(**hooks)

    async def results(
        self, commands: Sequence[Command | ScriptCall], *, patient: bool = False
    ) -> list[Any | PresenceError]:
        if not self._tasks:
            try:
                async with asyncio.timeout(self.timeout_s):
                    await self.start()
            except TimeoutError:
                raise Unavailable("the Sentinels do not answer yet") from None
        try:
            return await super().results(commands, patient=patient)
        except Unavailable:
            self.hint()
            raise

    def hint(self) -> None:
        self._wake.set()

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
                await self._look()
            except Unavailable as error:
                log.debug("%s", error)
            except Exception:
                log.exception("a look for the master failed")
            if self.node.away:
                await asyncio.sleep(AWAY_S / 2)

    async def _listen(self) -> None:
        while True:
            try:
                await self._sentinels.listen(self.hint)
            except _LOST as error:
                log.debug("sentinel: %s", str(error) or type(error).__name__)
            except Exception:
                log.exception("a Sentinel could not be heard")
            await asyncio.sleep(AWAY_S)

    async def _look(self) -> None:
        """Goes over to another master when there is one that says so of itself."""
        for address in await self._sentinels.masters():
            if address == self.node.address:
                return
            if await self._is_master(address):
                await self._switch(address)
                return
        raise Unavailable("the master that the Sentinels name is none yet")

    async def _is_master(self, address: Address) -> bool:
        try:
            role = await ask(address, self.node.access, ROLE, self.timeout_s)
        except _LOST as error:
            log.debug("%s: %s", address, str(error) or type(error).__name__)
            return False
        return bool(role[0] == b"master")

    async def _switch(self, address: Address) -> None:
        before, self.node = self.node, self._make_node(address)
        super().observe(**self._hooks)
        if before.address.port:
            log.warning("redis: the master is now %s", address)
        await before.close()
        self.on_places()
        self._hooks.get("on_back", lambda: None)()
