"""One ASGI WebSocket: JSON objects in and out, each with a size limit and a deadline.

Used by web.ws.session. Refuses messages that are not JSON objects in text, and clients that stop reading. A
refusal before the handshake is an HTTP answer; after it, a message and a close code.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from ...errors import PresenceError, TooLarge, Unsupported
from ...metrics import Metrics
from ...settings import Settings
from .. import body
from ..problems import MEDIA_TYPE, headers_of, problem

ABORT = "presence.abort"  # an extension: ends a connection whose client takes no bytes (server.websocket)
DONE, GOING_AWAY = 1000, 1001
STATUS = 4000  # plus an HTTP status: the close code, for clients that see nothing else


def complaint(error: PresenceError) -> dict[str, Any]:
    """The error message for a client."""
    fields = problem(error)
    fields["problem"] = fields.pop("type")
    if error.retry_after_s is not None:
        fields["retry_after_ms"] = round(error.retry_after_s * 1000)
    return {"type": "error", **fields}


class Gone(Exception):
    """The client has closed the socket or disconnected."""


class Socket:
    """`settings` limit the size of a message and the time to send one."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, settings: Settings, metrics: Metrics
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._metrics = metrics
        self._cap = settings.body_limit
        self._deadline_s = settings.send_deadline

    async def accept(self) -> None:
        """Completes the handshake. Raises Gone."""
        if (await self._receive())["type"] != "websocket.connect":
            raise Gone
        try:
            await self._send({"type": "websocket.accept"})
        except (OSError, RuntimeError):  # the connection has ended meanwhile
            raise Gone from None

    async def refuse(self, error: PresenceError) -> None:
        """Answers by HTTP instead of the handshake; servers without that extension answer a plain 403."""
        await self._receive()
        if "websocket.http.response" not in self._scope.get("extensions", {}):
            await self._send({"type": "websocket.close"})
            return
        headers = headers_of(error) | {"content-type": MEDIA_TYPE}
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "websocket.http.response.start", "status": error.status, "headers": pairs})
        await self._send({"type": "websocket.http.response.body", "body": orjson.dumps(problem(error))})

    async def receive(self) -> dict[str, Any]:
        """The next message. Raises Gone, or a PresenceError, after which the socket may be used further."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            raise Gone
        text = message.get("text")
        if text is None:
            raise Unsupported("send text messages, not binary ones")
        raw = text.encode()
        if len(raw) > self._cap:
            raise TooLarge("the message is too large")
        return body.parse(raw, self._metrics)

    async def send(self, text: str) -> None:
        """Sends a text. Raises Gone, also for a client that does not read: its connection is aborted."""
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._send({"type": "websocket.send", "text": text})
        except TimeoutError:
            abort = self._scope.get("extensions", {}).get(ABORT, {}).get("abort")
            if abort:
                abort()
            raise Gone from None
        except (OSError, RuntimeError):  # the client is gone, or we have closed meanwhile
            raise Gone from None

    async def tell(self, kind: str, **fields: Any) -> None:
        await self.send(orjson.dumps({"type": kind, **fields}).decode())

    async def complain(self, error: PresenceError) -> None:
        """Sends the error message for the client's last message."""
        await self.send(orjson.dumps(complaint(error)).decode())

    async def close(self, code: int = DONE) -> None:
        """Closes the socket, if it is still open."""
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._send({"type": "websocket.close", "code": code})
        except (OSError, TimeoutError, RuntimeError):
            return
