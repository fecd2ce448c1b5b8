"""A stream's or a socket's mailbox: the latest frame per course and kind, never a queue.

Filled by live.hub, emptied by web.streams and web.visit. Where the server lets a stream's connection be
written to straight (web.protocol), a frame goes there at once and the mailbox is for those who are slow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .frame import Frame


class Listener:
    """One open stream. A slow reader finds only the newest frame of each kind when it comes back."""

    __slots__ = ("_frames", "_given", "_waiter", "closing", "courses", "straight", "viewers")

    def __init__(self, courses: tuple[str, ...], viewers: int) -> None:
        self.courses = courses
        self.viewers = viewers
        self.closing = False
        self.straight: Callable[[bytes], bool] | None = None
        self._frames: dict[tuple[str, str], Frame] = {}
        self._given: dict[tuple[str, str], bytes] = {}
        self._waiter: asyncio.Future[None] | None = None

    def offer(self, course_id: str, kind: str, frame: Frame) -> None:
        """Writes a frame, or puts it in place of an older one of its kind; never waits for the reader."""
        key = (course_id, kind)
        if self._given.get(key) == frame.text:
            return
        self._given[key] = frame.text
        if self.straight is None or self._frames or not self.straight(frame.chunk):
            self._frames[key] = frame
            self._ring()

    def close(self) -> None:
        """The replica is going: the stream shall say goodbye and end."""
        self.closing = True
        self._ring()

    def _ring(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, timeout_s: float) -> bytes:
        """The frames that have come, as one block of a stream."""
        return b"".join([frame.text for frame in await self.frames(timeout_s)])

    async def frames(self, timeout_s: float) -> list[Frame]:
        """The frames that have come; none when none came in time or the stream shall end."""
        if not self._frames and not self.closing:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(timeout_s, self._ring)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        found = list(self._frames.values())
        self._frames.clear()
        return found
