"""A stream's or a socket's mailbox: the latest frame per course and kind, never a queue.

Filled by live.hub, emptied by web.sse and web.ws. Where a connection can be written to straight
(server.sse), a frame goes there at once and the mailbox is for those who are slow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .frame import Frame

Selection = frozenset[str] | None  # of chapters; None = all of them


class Listener:
    """One open stream. A slow reader finds only the newest frame of each kind when it comes back.

    `viewers`: how many names it wants, but in courses that are `nameless`; `is_steady`: who is shown stays so
    while they are there.
    """

    __slots__ = (
        "_frames",
        "_given",
        "_on_ring",
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
        self._on_ring: Callable[[], None] | None = None
        self._frames: dict[str, Frame] = {}
        self._given: dict[str, Frame] = {}

    def wants(self, course_id: str) -> int:
        """How many names of this course."""
        return 0 if course_id in self.nameless else self.viewers

    def write_to(self, write: Callable[[bytes], bool], on_ring: Callable[[], None]) -> None:
        """From now on chunks go to `write`; `on_ring` is called when it has refused one, and at the end."""
        self._write, self._on_ring = write, on_ring

    def offer(self, frame: Frame) -> None:
        """Writes a frame, or puts it in place of an older one of its kind; never waits for the reader."""
        key = frame.key
        given = self._given.get(key)
        if given is not None and (given is frame or given.text == frame.text):
            return
        self._given[key] = frame
        if self._write is None or self._frames or not self._write(frame.chunk):
            self._frames[key] = frame
            self._ring()

    def close(self) -> None:
        """The replica is going: the stream shall say goodbye and end."""
        self.closing = True
        self._ring()

    def _ring(self) -> None:
        if self._on_ring is not None:
            self._on_ring()

    def take(self) -> list[Frame]:
        """What is in the mailbox, which is then empty."""
        found = list(self._frames.values())
        self._frames.clear()
        return found

    async def wait(self, timeout_s: float) -> bytes:
        """The frames that have come, as one block of a stream."""
        return b"".join([frame.text for frame in await self.frames(timeout_s)])

    async def frames(self, timeout_s: float) -> list[Frame]:
        """The frames that have come; none when none came in time or the stream shall end."""
        if not self._frames and not self.closing:
            loop = asyncio.get_running_loop()
            rung = loop.create_future()

            def ring() -> None:
                if not rung.done():
                    rung.set_result(None)

            self._on_ring = ring
            timer = loop.call_later(timeout_s, ring)
            try:
                await rung
            finally:
                timer.cancel()
                self._on_ring = None
        return self.take()
