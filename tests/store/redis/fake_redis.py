"""A server that speaks Redis's protocol and says what a test wants."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hiredis

Script = dict[bytes, list[bytes]]


@asynccontextmanager
async def fake_redis(script: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Answers a command by its name with these packets, +OK to all else; gives its URL."""
    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        commands = hiredis.Reader()
        while data := await reader.read(65_536):
            commands.feed(data)
            while command := commands.gets():
                for packet in script.get(command[0], [b"+OK\r\n"]):
                    writer.write(packet)
                    await asyncio.sleep(0.002)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        scheme = "rediss" if context else "redis"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}" + (
            "?ssl_cert_reqs=none&ssl_check_hostname=false" if context else ""
        )
    finally:
        server.close()
        await asyncio.sleep(0.05)  # whoever was accepted last has a writer by now
        for writer in open_now:
            writer.transport.abort()
        await asyncio.sleep(0.01)
