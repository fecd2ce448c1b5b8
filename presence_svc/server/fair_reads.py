"""uvicorn's flow control for one connection, with fair shares: a client that sends much must wait for others.

Made by server.http. A transport may deliver megabytes within one iteration of the event loop. The parser gets
SHARE bytes of them per iteration, and nothing more is read until they are parsed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl

SHARE = 16_384  # bytes; parsing them takes two milliseconds at most, whatever they are


class FairReads(FlowControl):
    """Calls `parse` with each share but the first. What is held back waits while reading is paused."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, parse: Callable[[bytes], None]
    ) -> None:
        super().__init__(transport)
        self._loop, self._parse = loop, parse
        self._held = b""

    @property
    def holds(self) -> bool:
        """Whether data that was read is not parsed yet."""
        return bool(self._held)

    def share(self, data: bytes) -> bytes:
        """The part of `data` to parse now; the rest follows in later iterations."""
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
        """Drops what is held back: the connection was handed over, or ends."""
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
