"""uvicorn's flow control of one connection, with fair shares: who sends much at once waits for all others.

Made by server.http. A transport may bring megabytes within one turn of the loop; of these the parser gets
SHARE bytes a turn, and nothing more is read before they are through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl

SHARE = 16_384  # bytes, of which no request can make more than two milliseconds' work


class FairReads(FlowControl):
    """`parse` is called with each share but the first. What is held waits while reading is paused."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, parse: Callable[[bytes], None]
    ) -> None:
        super().__init__(transport)
        self._loop, self._parse = loop, parse
        self._held = b""

    @property
    def holds(self) -> bool:
        """Whether something that was read has yet to be parsed."""
        return bool(self._held)

    def share(self, data: bytes) -> bytes:
        """What of `data` may be parsed now; the rest follows in later turns."""
        self._held = data[SHARE:]
        if not self.read_paused:
            self._transport.pause_reading()
        self._loop.call_soon(self._go_on)
        return data[:SHARE]

    def pause_reading(self) -> None:
        if self._held:
            self.read_paused = True
        else:
            super().pause_reading()

    def resume_reading(self) -> None:
        if self._held and self.read_paused:
            self.read_paused = False
            self._loop.call_soon(self._go_on)
        else:
            super().resume_reading()

    def drop(self) -> None:
        """Forgets what is held: the connection is somebody else's, or at its end."""
        if self._held:
            self._held = b""
            if not self.read_paused and not self._transport.is_closing():
                self._transport.resume_reading()

    def _go_on(self) -> None:
        if not self._held or self.read_paused:
            return
        if self._transport.is_closing():
            self._held = b""
            return
        data, self._held = self._held, b""
        if len(data) <= SHARE:
            self._transport.resume_reading()
        self._parse(data)  # which shares again
