"""The HTTP connections of a client, separate for each process and, if async, for each event loop.

Connections from before a fork are not used, because both processes would read each other's answers; those of
a closed loop cannot be used. Used by both clients.
"""

from __future__ import annotations

import asyncio
import os

import httpx2


class Connections:
    """The connections of the synchronous client. `transport` is passed on to httpx."""

    def __init__(self, transport: httpx2.BaseTransport | None) -> None:
        self._transport = transport
        self._owner = os.getpid()
        self._inherited: list[httpx2.Client] = []  # never closed here: the parent still uses them
        self._http = self._opened()

    def get(self) -> httpx2.Client:
        if self._owner != os.getpid():
            self._inherited.append(self._http)
            self._http, self._owner = self._opened(), os.getpid()
        return self._http

    def close(self) -> None:
        self.get().close()

    def _opened(self) -> httpx2.Client:
        return httpx2.Client(transport=self._transport, follow_redirects=False)


class LoopConnections:
    """The connections of the asynchronous client: each event loop has its own."""

    def __init__(self, transport: httpx2.AsyncBaseTransport | None) -> None:
        self._transport = transport
        self._of_loops: dict[asyncio.AbstractEventLoop, httpx2.AsyncClient] = {}
        self._is_closed = False

    def get(self) -> httpx2.AsyncClient:
        """The connections of the running loop. Raises RuntimeError after `close`."""
        if self._is_closed:
            raise RuntimeError("the client has been closed")
        loop = asyncio.get_running_loop()
        found = self._of_loops.get(loop)
        if found is None:
            self._of_loops = {one: http for one, http in self._of_loops.items() if not one.is_closed()}
            found = httpx2.AsyncClient(transport=self._transport, follow_redirects=False)
            self._of_loops[loop] = found
        return found

    async def close(self) -> None:
        """Closes the connections of the running loop, and drops all others."""
        self._is_closed = True
        mine, self._of_loops = self._of_loops.get(asyncio.get_running_loop()), {}
        if mine is not None:
            await mine.aclose()
