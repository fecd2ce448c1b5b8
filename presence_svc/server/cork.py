"""Keeps a response's head until its body follows in the same turn of the loop: both leave in one write.

Made by server.http for each request of the ASGI app, in the place of uvicorn's transport. Go's proxies may
close their side once they have a head (while they still look behind the request's body, their own server has
closed it): what came with the head is read, and what comes later is lost to the client.
"""

from __future__ import annotations

import asyncio

SMALL = 65_536  # bytes: more is not copied, and is none that a proxy reads with the head


class Cork:
    """What uvicorn's cycle asks of a transport. Only the first write is kept, for one turn at most."""

    __slots__ = ("_first", "_is_out", "_loop", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._first = b""
        self._is_out = False
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if self._is_out:
            self._transport.write(data)
        elif self._first:
            if len(data) > SMALL:
                self.release()
            else:
                data, self._is_out = self._first + data, True
            self._transport.write(data)
        else:
            self._first = data
            self._loop.call_soon(self.release)

    def release(self) -> None:
        """Nothing follows at once: a stream's head, or an answer without a body."""
        if not self._is_out:
            self._is_out = True
            if self._first and not self._transport.is_closing():
                self._transport.write(self._first)

    def close(self) -> None:
        self.release()
        self._transport.close()
