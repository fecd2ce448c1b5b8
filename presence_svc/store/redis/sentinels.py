"""Asks the Sentinels that a URL names for the master, and hears when it changes. Used by sentinel."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from hiredis import ProtocolError
from redis.exceptions import RedisError

from ...errors import Unavailable
from .node import ask
from .resp import packed_command
from .subscription import Subscription
from .url import Access, Address

EVERY_S = 15.0
SENTINEL_TIMEOUT_S = 0.5
SWITCHED = "+switch-master"
LOST = (TimeoutError, OSError, ProtocolError, RedisError, ValueError, ConnectionError)


class Sentinels:
    """Finds the master of `service`. `reached` maps announced addresses to those reachable from here."""

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
        """The masters that Sentinels name, by votes, most first. Raises Unavailable if none answers."""
        answers = await asyncio.gather(*map(self._ask_one, self.addresses))
        votes = Counter(one for one in answers if isinstance(one, Address))
        if not votes:
            errors = [one for one in answers if isinstance(one, str)]
            if len(errors) == len(answers):
                raise Unavailable(f"no Sentinel answers: {errors[0]}")
            raise Unavailable(f"no Sentinel knows a master named {self._service}")
        return [address for address, _ in votes.most_common()]

    async def _ask_one(self, sentinel: Address) -> Address | str | None:
        """The master that one Sentinel names, None if it knows none, or a text that says what failed."""
        try:
            found = await ask(sentinel, self.access, self._ask, SENTINEL_TIMEOUT_S)
            announced = Address(found[0].decode(), int(found[1])) if found else None
        except LOST as error:
            return f"{sentinel}: {str(error) or type(error).__name__}"
        return self._reached.get(announced, announced) if announced else None

    async def listen(self, on_switch: Callable[[], object]) -> None:
        """Subscribes to one Sentinel's announcements. Raises what ends the subscription."""
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
            self.addresses.append(self.addresses.pop(0))  # another one next time
            subscription.close()
