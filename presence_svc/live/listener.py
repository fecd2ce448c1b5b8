"""The mailbox of a stream or socket: the latest frame per course and kind, never a queue.

Filled by live.hub, emptied by web.sse and web.ws. If the connection can be written to directly (server.sse),
frames go there at once, and the mailbox is only used while the client is slow. Whoever writes disconnects a
client that takes nothing within `send_deadline`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .frame import Frame

Selection = frozenset[str] | None  # of chapters; None = all of them


class Listener:
    """One open stream or socket. A slow client gets only the newest frame of each kind.

    `viewers`: how many names it wants, except in the courses `nameless`; `is_steady`: viewers who are shown
    stay shown while they are present.
    """

    __slots__ = (
        "_frames",
        "_offered",
        "_on_ready",
        "_write",
        "chapters",
        "closing",
        "courses",
        "is_steady",
        "nameless",
        "viewers",
    )

    def __init__(
        self,
        courses: tuple[str, ...],
        viewers: int = 0,
        *,
        chapters: Selection = None,
        is_steady: bool = False,
        nameless: frozenset[str] = frozenset(),
    ) -> None:
        self.courses = courses
        self.viewers, self.is_steady, self.nameless = viewers, is_steady, nameless
        self.chapters = chapters
        self.closing = False
        self._write: Callable[[bytes], bool] | None = None
        self._on_ready: Callable[[], None] | None = None
        self._frames: dict[str, Frame] = {}
        self._offered: dict[str, Frame] = {}

    def wants(self, course_id: str) -> int:
        """How many names it wants of this course."""
        return 0 if course_id in self.nameless else self.viewers

    def write_to(self, write: Callable[[bytes], bool], on_ready: Callable[[], None]) -> None:
        """Writes chunks with `write` from now on; calls `on_ready` if that refuses one, and at the end."""
        self._write, self._on_ready = write, on_ready

    def offer(self, frame: Frame) -> None:
        """Writes a frame, or stores it in place of an older one of its kind; never waits for the client."""
        key = frame.key
        last = self._offered.get(key)
        if last is not None and (last is frame or last.text == frame.text):
            return
        self._offered[key] = frame
        if self._write is None or self._frames or not self._write(frame.chunk):
            self._frames[key] = frame
            self._notify()

    def close(self) -> None:
        """Asks the stream to send its last event and end."""
        self.closing = True
        self._notify()

    def _notify(self) -> None:
        if self._on_ready is not None:
            self._on_ready()

    def take(self) -> list[Frame]:
        """Empties the mailbox and returns its frames."""
        found = list(self._frames.values())
        self._frames.clear()
        return found

    async def wait(self, timeout_s: float) -> bytes:
        """Waits for frames, at most `timeout_s` seconds, and returns them as one block of an SSE stream."""
        return b"".join([frame.text for frame in await self.frames(timeout_s)])

    async def frames(self, timeout_s: float) -> list[Frame]:
        """Waits for frames, at most `timeout_s` seconds; none if none came or the stream should end."""
        if not self._frames and not self.closing:
            loop = asyncio.get_running_loop()
            ready = loop.create_future()

            def notify() -> None:
                if not ready.done():
                    ready.set_result(None)

            self._on_ready = notify
            timer = loop.call_later(timeout_s, notify)
            try:
                await ready
            finally:
                timer.cancel()
                self._on_ready = None
        return self.take()
