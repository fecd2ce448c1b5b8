"""Bytes to a port and back, as no HTTP client would send them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class Talk(NamedTuple):
    """What came back, and how long it took until the server closed (None = it did not)."""

    received: bytes
    closed_after_s: float | None

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in STATUS.findall(self.received)]

    @property
    def problem(self) -> Any:
        """The last answer's body."""
        head, _, body = self.received.rpartition(b"\r\n\r\n")
        assert b"application/problem+json" in head
        return json.loads(body)


async def talk(
    port: int, data: bytes, *, then: Iterable[bytes] = (), pause_s: float = 0.1, patience_s: float = 8
) -> Talk:
    """Sends `data`, then each of `then` after a pause, and listens until it closes or patience ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    loop = asyncio.get_running_loop()
    began = loop.time()
    received = bytearray()
    closed_after_s = None
    dribbling = asyncio.create_task(_dribble(writer, data, then, pause_s))
    try:
        async with asyncio.timeout(patience_s):
            while chunk := await reader.read(65_536):
                received += chunk
        closed_after_s = loop.time() - began
    except TimeoutError:
        pass
    except OSError:
        closed_after_s = loop.time() - began
    dribbling.cancel()
    await asyncio.gather(dribbling, return_exceptions=True)
    writer.transport.abort()
    return Talk(bytes(received), closed_after_s)


async def _dribble(writer: asyncio.StreamWriter, data: bytes, then: Iterable[bytes], pause_s: float) -> None:
    writer.write(data)
    for part in then:
        await asyncio.sleep(pause_s)
        if writer.is_closing():
            return
        writer.write(part)
