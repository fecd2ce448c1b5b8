"""The received messages that a socket's app has not taken yet. Used by server.websocket as its queue."""

from __future__ import annotations

import asyncio
from typing import Any


class Inbox:
    """A queue with a single reader, as uvicorn needs it, in a tenth of an asyncio.Queue's 3 KB."""

    __slots__ = ("_events", "_waiter")

    def __init__(self) -> None:
        self._events: list[Any] = []
        self._waiter: asyncio.Future[None] | None = None

    def put_nowait(self, event: Any) -> None:
        """Adds a message. uvicorn bounds the queue: it reads nothing more until the last one was taken."""
        self._events.append(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def empty(self) -> bool:
        return not self._events

    async def get(self) -> Any:
        while not self._events:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._events.pop(0)
