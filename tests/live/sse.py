"""A reader of server-sent events over a socket of its own, so that tests see each byte and each end."""

from __future__ import annotations

import asyncio
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

from tests.described import check_event

WAIT_S = 10.0


class Events:
    """`async with Events(service.url, "/v1/...") as events`: the reply's head is read when that begins."""

    def __init__(self, base_url: str, path: str) -> None:
        self._host, self._port = urlsplit(base_url).hostname, urlsplit(base_url).port
        self._path = path
        self.status = 0
        self.headers: dict[str, str] = {}
        self.seen: list[tuple[str, dict[str, Any]]] = []  # (event, data); a comment is ("", {})
        self.ended = False
        self.retry_ms = 0

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        self._writer.write(f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), WAIT_S)
        first, *lines = head.decode().strip().split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        return self

    async def __aexit__(self, *error: object) -> None:
        self._writer.transport.abort()

    async def next(self, within_s: float = WAIT_S) -> tuple[str, dict[str, Any]]:
        """The next frame; ("end", {}) at a clean end. Raises TimeoutError, or EOFError when it breaks."""
        async with asyncio.timeout(within_s):
            frame = await self._frame()
        self.seen.append(frame)
        check_event(*frame)
        return frame

    async def _frame(self) -> tuple[str, dict[str, Any]]:
        event, data = "", b"{}"
        while True:
            line = await self._line()
            if line is None:
                self.ended = True
                return "end", {}
            field, _, value = line.partition(b": ")
            if not line:
                return event, orjson.loads(data)
            if field == b"event":
                event = value.decode()
            elif field == b"data":
                data = value
            elif field == b"retry":
                self.retry_ms = int(value)

    _rest = b""

    async def _line(self) -> bytes | None:
        """A line of the body, out of its chunks; None at the last chunk."""
        while b"\n" not in self._rest:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            chunk = await self._reader.readexactly(size + 2)
            if size == 0:
                return None
            self._rest += chunk[:-2]
        line, self._rest = self._rest.split(b"\n", 1)
        return line

    async def count(self, within_s: float = WAIT_S) -> dict[str, Any]:
        """The next `count`, whatever comes in between."""
        async with asyncio.timeout(within_s):
            while True:
                event, data = await self.next()
                if event == "count":
                    return data
                if event == "end":
                    raise EOFError("the stream has ended")

    async def until(self, total: int, within_s: float = WAIT_S) -> dict[str, Any]:
        """Reads on until the count says this total."""
        async with asyncio.timeout(within_s):
            while (data := await self.count())["total"] != total:
                pass
        return data

    async def to_the_end(self, within_s: float = WAIT_S) -> list[str]:
        """Reads until the clean end; the events' names."""
        async with asyncio.timeout(within_s):
            while not self.ended:
                await self.next()
        return [event for event, _ in self.seen]
