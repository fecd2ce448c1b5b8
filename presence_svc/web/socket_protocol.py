"""uvicorn's WebSocket protocol with an end to every wait, and time for last words.

Named by commands.serve. uvicorn closes a connection only once its last bytes have gone out, which for a dead
client takes the system's quarter of an hour; and at shutdown it closes before the app can say goodbye.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from .socket import ABORT

FAREWELL_S = 0.5


class Inbox:
    """What uvicorn asks of a queue that one task reads, in a tenth of an asyncio.Queue's 3 KB."""

    __slots__ = ("_events", "_waiter")

    def __init__(self) -> None:
        self._events: list[Any] = []
        self._waiter: asyncio.Future[None] | None = None

    def put_nowait(self, event: Any) -> None:
        """Bounded by uvicorn: it reads nothing more until the last message was taken."""
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


class SocketProtocol(WebSocketsSansIOProtocol):
    """Lets the app abort its connection (ABORT), and aborts when a ping stays unanswered."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue = Inbox()  # type: ignore[assignment]

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # the handshake is sound, and the app has yet to run
            self.scope["extensions"][ABORT] = {"abort": self.transport.abort}

    def shutdown(self) -> None:
        """The app has been told as well (Hub.close), and says `bye`; whatever still stands then is closed."""
        self.loop.call_later(FAREWELL_S, self._shut)

    def _shut(self) -> None:
        if not self.disconnected:
            super().shutdown()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    def start_keepalive(self) -> None:
        """The handshake is out: what it was made of is a few kilobytes that nobody needs again."""
        super().start_keepalive()
        self.request = self.response = None  # type: ignore[assignment]
        self.scope["headers"] = []
