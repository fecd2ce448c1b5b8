"""A WebSocket client for tests: joins a course, remembers what it was told, waits for what it expects."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from tests.described import check_message
from tests.rig import Service

WAIT_S = 5.0


class SocketClient:
    """`async with SocketClient(service, "c1", viewer_id="ada") as client`: one that has joined."""

    def __init__(
        self,
        service: Service,
        course: str,
        *,
        query: str = "",
        origin: str | None = None,
        headers: dict[str, str] | None = None,
        joins: bool = True,
        **said: Any,
    ) -> None:
        url = f"ws://127.0.0.1:{service.port}/v1/courses/{course}/ws{query}"
        self._connecting = connect(
            url,
            origin=Origin(origin) if origin else None,
            additional_headers=headers,
            open_timeout=WAIT_S,
            close_timeout=WAIT_S,
        )
        self._said = said if joins else None
        self.socket: ClientConnection
        self.told: list[dict[str, Any]] = []
        self.joined: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        self.socket = await self._connecting
        if self._said is not None:
            await self.say("join", **self._said)
            self.joined = await self.next()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.socket.close()

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send(orjson.dumps({"type": kind, **fields}).decode())

    async def next(self) -> dict[str, Any]:
        """The next message."""
        message: dict[str, Any] = orjson.loads(await asyncio.wait_for(self.socket.recv(), WAIT_S))
        self.told.append(message)
        check_message(message)
        return message

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Reads on until a message of this kind has these fields."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message = await self.next()
                if message["type"] == kind and fields.items() <= message.items():
                    return message

    async def closed(self) -> int | None:
        """Reads to the end, and returns the closing code."""
        try:
            async with asyncio.timeout(WAIT_S):
                while True:
                    await self.next()
        except ConnectionClosed:
            return self.socket.close_code
