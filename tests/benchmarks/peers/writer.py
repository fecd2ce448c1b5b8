"""The least that a frame to each listener can cost: transport.write in a loop, on uvloop.

`python -m tests.benchmarks.peers.writer PORT`. A connection that begins with GET listens; whatever comes on
another one is written to all that listen, as it is.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

HELLO = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {}\n\n"
listeners: set[asyncio.Transport] = set()


class Writer(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET "):
            listeners.add(self._transport)
            self._transport.write(HELLO)
        elif self._transport not in listeners:
            for listener in listeners:
                listener.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        listeners.discard(self._transport)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Writer, "127.0.0.1", port, backlog=2_048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
