"""A TCP proxy in front of a Redis on a unix socket, that can go bad in the ways networks do. For tests."""

from __future__ import annotations

import asyncio
from contextlib import suppress

CHUNK = 65_536


class Proxy:
    """`async with Proxy(server.url) as proxy`: speak to `proxy.url`; set what is wrong while it runs."""

    def __init__(self, unix_url: str) -> None:
        self._path = unix_url.removeprefix("unix://")
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.swallow_replies = False  # one direction is a black hole: the connection stays up and silent
        self.delay_s = 0.0  # of every reply
        self.accepted = 0
        self._forgotten: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.sleep(0.01)  # whoever was accepted last has a task by now
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Ends every connection that is open now."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def lead_to(self, unix_url: str) -> None:
        """New connections go to another server; those that are open stay where they are."""
        self._path = unix_url.removeprefix("unix://")

    def forget(self) -> None:
        """As a NAT does: what is open now stays so, and nothing passes on it any more, either way."""
        self._forgotten |= self._writers

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        to_server: asyncio.StreamWriter | None = None
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            from_server, to_server = await asyncio.open_unix_connection(self._path)
            self._writers.add(to_server)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, to_server, replies=False))
                both.create_task(self._pump(from_server, writer, replies=True))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, to_server):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()
            self._tasks.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool
    ) -> None:
        while data := await reader.read(CHUNK):
            if (replies and self.swallow_replies) or writer in self._forgotten:
                continue
            if replies and self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(data)
            await writer.drain()
        with suppress(OSError):
            writer.transport.abort()
