"""A pub/sub connection to one server. Used by live.subscriber, sentinels and client.

redis-py's own does not handle what a Cluster does: the slot of a subscribed channel may move away, and then
the server unsubscribes us unasked, or refuses a subscription to the channels of that slot alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple

from hiredis import ProtocolError, Reader

from .cluster.slots import slot_of
from .connection import dial
from .reply import ReplyError
from .resp import packed_command
from .url import Access, Address

MISSING = object()
DIAL_S = 2.0
KINDS = {
    **dict.fromkeys((b"message", b"smessage", b"pmessage"), "message"),
    **dict.fromkeys((b"subscribe", b"ssubscribe", b"psubscribe"), "subscribed"),
    **dict.fromkeys((b"unsubscribe", b"sunsubscribe", b"punsubscribe"), "unsubscribed"),
}
MOST_WAITING = 100_000  # events; beyond that the connection is closed and the reader starts over


class Event(NamedTuple):
    """`kind`: message, subscribed, unsubscribed (by us or by the server: they look alike), refused, pong."""

    kind: str
    channel: str = ""
    data: bytes = b""


class Subscription(asyncio.Protocol):
    """A sharded channel is published only at the master of its slot. Requests here do not await replies."""

    def __init__(self, address: Address, *, sharded: bool) -> None:
        self.address = address
        self._sharded = sharded
        self._reader = Reader(protocolError=ProtocolError, replyError=ReplyError, notEnoughData=MISSING)
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._lost: BaseException | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(
        cls,
        address: Address,
        access: Access,
        *,
        sharded: bool,
        timeout_s: float = DIAL_S,
        address_index: int = 0,
    ) -> Subscription:
        """Connects and logs in. Raises OSError, TimeoutError, RedisError, ProtocolError."""
        connection = await dial(address, access, timeout_s=timeout_s, address_index=address_index)
        subscription = cls(address, sharded=sharded)
        subscription._transport = connection.hand_over(subscription)
        return subscription

    def subscribe(self, channels: Iterable[str]) -> None:
        """Subscribes to channels; one command may name sharded channels of one slot only."""
        self._send_each("SSUBSCRIBE" if self._sharded else "SUBSCRIBE", channels)

    def unsubscribe(self, channels: Iterable[str]) -> None:
        self._send_each("SUNSUBSCRIBE" if self._sharded else "UNSUBSCRIBE", channels)

    def subscribe_pattern(self, pattern: str) -> None:
        """Subscribes to every matching channel. No server offers that for sharded channels."""
        self._send([("PSUBSCRIBE", pattern)])

    def ping(self) -> None:
        """Sends PING; the answer comes as an event like any other."""
        self._send([("PING",)])

    async def get(self, timeout_s: float) -> Event | None:
        """The next event; None if none comes in time. Raises ConnectionError once it has ended."""
        if not self._events:
            if self._lost is not None:
                raise ConnectionError(str(self._lost) or type(self._lost).__name__)
            self._arrived.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._arrived.wait()
            except TimeoutError:
                return None
        if self._events:
            return self._events.popleft()
        raise ConnectionError(str(self._lost) or type(self._lost).__name__)

    def close(self) -> None:
        self._end(ConnectionError("closed"))
        if self._transport is not None:
            self._transport.abort()

    def _send_each(self, verb: str, channels: Iterable[str]) -> None:
        if not self._sharded:
            self._send([(verb, *channels)])
            return
        ordered = sorted(channels, key=slot_of)
        self._send([(verb, *same_slot) for _, same_slot in groupby(ordered, key=slot_of)])

    def _send(self, commands: Iterable[tuple[str, ...]]) -> None:
        if self._transport is not None and self._lost is None:
            self._transport.write(b"".join(packed_command(*command) for command in commands))

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not MISSING:
                self._events.append(_event(reply))
        except (ProtocolError, ValueError) as error:
            self._end(error)
        if len(self._events) > MOST_WAITING:
            self._end(ConnectionError("too many events are waiting to be read"))
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionError("Redis has closed the connection"))

    def _end(self, error: BaseException) -> None:
        if self._lost is None:
            self._lost = error
        self._arrived.set()
        if self._transport is not None:
            self._transport.abort()


def _event(reply: Any) -> Event:
    """Turns one reply into an event."""
    if isinstance(reply, ReplyError):
        is_of_ping = reply.code == "MISCONF"  # a full disk makes PING fail, but no subscription
        return Event("pong") if is_of_ping else Event("refused", data=str(reply).encode())
    if not isinstance(reply, list):
        return Event("pong")
    kind = KINDS.get(reply[0])
    if kind is None:
        return Event("pong")
    channel, data = reply[-2:]  # a message by pattern has the pattern before these two
    return Event(kind, (channel or b"").decode(), data if isinstance(data, bytes) else b"")
