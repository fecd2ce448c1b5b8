"""What a replica knows of one course that is watched here: its newest count and who listens. Owned by hub."""

from __future__ import annotations

import asyncio
from time import perf_counter

from ..model import Count
from .frame import Frame, count_frame
from .listener import Listener

# Fan-out may take a sixth of the loop's time; beyond that frames are skipped for 2 s at most, never queued.
SHARE = 5
LONGEST_PAUSE_S = 2.0


class Feed:
    """A course's latest frame, its listeners, and the pause that keeps a huge crowd from starving others."""

    def __init__(self, course_id: str) -> None:
        self.course_id = course_id
        self.listeners: set[Listener] = set()
        self.latest: Count | None = None
        self.frame: Frame | None = None
        self.reading = False
        self.read_again = False
        self._timer: asyncio.TimerHandle | None = None
        self._not_before = 0.0

    @property
    def viewers(self) -> int:
        """How many names the most curious listener wants."""
        return max((listener.viewers for listener in self.listeners), default=0)

    def update(self, count: Count) -> bool:
        """Takes a count, unless a newer one is known; returns whether anything in it is new."""
        old = self.latest
        if old and count.version <= old.version:
            if (count.as_of, count.version) < (old.as_of, old.version):
                return False
            if count.version < old.version:  # Redis has lost its data; to a reader no version falls
                count = count.model_copy(update={"version": old.version})
        self.latest = count
        if old and _same(old, count):
            return False
        self.frame = count_frame(count)
        self._send_soon()
        return True

    def _send_soon(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_at(max(self._not_before, loop.time()), self._send)

    def _send(self) -> None:
        self._timer = None
        began = perf_counter()
        for listener in self.listeners:
            self.tell(listener)
        cost = perf_counter() - began
        pause = min(cost * SHARE, LONGEST_PAUSE_S)
        self._not_before = asyncio.get_running_loop().time() + pause

    def tell(self, listener: Listener) -> None:
        """What is known; nothing before the first count."""
        if self.frame is not None:
            listener.offer(self.frame)

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()


def _same(old: Count, new: Count) -> bool:
    return (
        old.version == new.version
        and old.total == new.total
        and old.anonymous == new.anonymous
        and old.chapters == new.chapters
        and old.warming == new.warming
    )
