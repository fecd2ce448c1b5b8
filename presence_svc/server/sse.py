"""The connection of an open stream: frames are written to it at once, without a task, a scope or a parser.

server.http hands a connection over once its stream's head is out, as uvicorn does for a WebSocket: what an
HTTP connection needs beside its transport is then free. The client has nothing more to say; a slow one finds
only the newest frames when it takes bytes again, and one that takes none is cut off at its deadline.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ..live.frame import chunk
from ..web.sse.stream import Stream

LAST_CHUNK = b"0\r\n\r\n"
STRAYS = 16_384  # bytes that a client may send, though nobody asks for any, before it is cut off


class SseProtocol(asyncio.Protocol):
    """`connections` is uvicorn's set of what must end before the process does; it calls `shutdown`."""

    __slots__ = ("_connections", "_is_slow", "_strays", "_stream", "_timer", "_transport")

    def __init__(self, transport: asyncio.Transport, connections: set[Any], stream: Stream) -> None:
        self._transport, self._connections, self._stream = transport, connections, stream
        self._is_slow = False
        self._strays = 0
        self._timer: asyncio.TimerHandle | None = None
        connections.add(self)
        transport.set_protocol(self)
        stream.listener.write_to(self.write, self.ring)
        self.ring()
        self._rest()

    def data_received(self, data: bytes) -> None:
        """Reading must go on, else the client's end would not be noticed; reading for nothing need not."""
        self._strays += len(data)
        if self._strays > STRAYS:
            self._transport.abort()

    def write(self, chunk: bytes) -> bool:
        """Writes a chunk; False when the reader is slow: then it stays in the mailbox."""
        if self._is_slow:
            return False
        self._transport.write(chunk)
        return True

    def ring(self) -> None:
        """Something is in the mailbox, or the replica is going."""
        if self._is_slow or self._transport.is_closing():
            return
        for frame in self._stream.listener.take():
            self._transport.write(frame.chunk)
        self._end_if_due()

    def _end_if_due(self) -> bool:
        words = self._stream.last_words(asyncio.get_running_loop().time())
        if words:
            self._transport.write(chunk(words) + LAST_CHUNK)
            self.shutdown()
        return bool(words)

    def _rest(self) -> None:
        """Until the next keep-alive, or the end."""
        if not self._transport.is_closing():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._stream.pause_s(loop.time()), self._look)

    def _look(self) -> None:
        if not self._transport.is_closing() and not self._end_if_due():
            self._transport.write(chunk(self._stream.keep_alive))
            self._rest()

    def pause_writing(self) -> None:
        self._is_slow = True
        self._abort_later()

    def _abort_later(self) -> None:
        self._stop_timer()
        deadline_s = self._stream.deadline_s
        self._timer = asyncio.get_running_loop().call_later(deadline_s, self._transport.abort)

    def resume_writing(self) -> None:
        self._is_slow = False
        if self._transport.is_closing():
            return
        self._stop_timer()
        self.ring()
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._connections.discard(self)
        self._stream.end()

    def shutdown(self) -> None:
        """What was written has the send deadline to go out. uvicorn calls this too, after the goodbye."""
        self._transport.close()
        self._abort_later()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
