"""What a replica knows of one course that is watched here: its newest count and who listens. Owned by hub."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

from ..model import Count, Roster, Viewer
from .audience import Audience
from .frame import Frame, count_frame, viewers_frame
from .listener import Listener, Selection

# Fan-out may take a sixth of the loop's time; beyond that frames are skipped for 2 s at most, never queued.
SHARE = 5
LONGEST_PAUSE_S = 2.0


class Feed:
    """A course's latest frames, its listeners, and the pause that keeps a huge crowd from starving others.

    There is a frame for each selection of chapters that somebody has asked for; one in which nothing has
    changed for its readers is not sent again.
    """

    def __init__(self, course_id: str) -> None:
        self.course_id = course_id
        self.listeners = Audience(course_id)
        self.latest: Count | None = None
        self.reading = False
        self.read_again = False
        self._frames: dict[Selection, tuple[Count, Frame]] = {}
        self._shown: dict[int, list[str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._not_before = 0.0

    def kept(self) -> list[str]:
        """Those whom listeners that want them to stay are shown now."""
        wanted = {n for n, is_steady in self.listeners.by_names if is_steady}
        self._shown = {n: ids for n, ids in self._shown.items() if n in wanted}
        return list(dict.fromkeys(viewer_id for ids in self._shown.values() for viewer_id in ids))

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
        self._send_soon()
        return True

    def _send_soon(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_at(max(self._not_before, loop.time()), self._send)

    def _send(self) -> None:
        self._timer = None
        began = perf_counter()
        if latest := self.latest:
            for selection, listeners in self.listeners.by_chapters.items():
                frame = self._frame(latest, selection)
                for listener in listeners:  # a crowd: nothing for each but this
                    listener.offer(frame)
        self._rest_after(perf_counter() - began)

    def _rest_after(self, cost_s: float) -> None:
        now = asyncio.get_running_loop().time()
        pause = max(0.0, self._not_before - now) + cost_s * SHARE
        self._not_before = now + min(pause, LONGEST_PAUSE_S)

    async def rest(self) -> None:
        """Waits until a crowd may be told something again."""
        await asyncio.sleep(max(0.0, self._not_before - asyncio.get_running_loop().time()))

    def tell(self, listener: Listener) -> None:
        """What is known; nothing before the first count."""
        if self.latest is not None:
            listener.offer(self._frame(self.latest, listener.chapters))

    def _frame(self, latest: Count, selection: Selection) -> Frame:
        """The frame for those who asked for these chapters: the last one, while nothing in it has changed."""
        known = self._frames.get(selection)
        if known is not None:
            told, frame = known
            if (
                told is latest
                or _same(told, latest)
                or (selection is not None and _alike(told, latest, selection))
            ):
                return frame
        chapters = latest.chapters
        if selection is not None:
            chapters = {name: n for name, n in chapters.items() if name in selection}
        frame = count_frame(latest, chapters)
        wanted = self.listeners.by_chapters
        if len(self._frames) > 2 * len(wanted):
            self._frames = {key: known for key, known in self._frames.items() if key in wanted}
        self._frames[selection] = latest, frame
        return frame

    def tell_viewers(
        self, roster: Roster, kept: list[Viewer], seen: Callable[[Viewer], Viewer] = lambda viewer: viewer
    ) -> None:
        """Names, to whoever wants some: the last heard from, or those shown before while they are there.

        `seen` makes of a viewer what others may see of them.
        """
        began = perf_counter()
        version = self.latest.version if self.latest else 0
        for (n, is_steady), listeners in self.listeners.by_names.items():
            shown = self._steady(n, roster, kept) if is_steady else roster.viewers[:n]
            told = [seen(viewer) for viewer in shown]
            frame = viewers_frame(self.course_id, told, roster.total, version)
            for listener in listeners:
                listener.offer(frame)
        self._rest_after(perf_counter() - began)

    def _steady(self, n: int, roster: Roster, kept: list[Viewer]) -> list[Viewer]:
        """Those shown before who are still there, and others only in the place of those who left."""
        there = {viewer.viewer_id: viewer for viewer in (*roster.viewers, *kept)}
        before = [there[viewer_id] for viewer_id in self._shown.get(n, ()) if viewer_id in there]
        others = [viewer for viewer in roster.viewers if viewer not in before]
        shown = [*before, *others][:n]
        self._shown[n] = [viewer.viewer_id for viewer in shown]
        return sorted(shown, key=lambda viewer: (viewer.joined_at, viewer.viewer_id))

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()


def _same(old: Count, new: Count) -> bool:
    return old.version == new.version and _alike(old, new, None)


def _alike(old: Count, new: Count, selection: Selection) -> bool:
    """Whether two counts tell the same, but for the time, to those who look at these chapters."""
    if (old.total, old.anonymous, old.warming) != (new.total, new.anonymous, new.warming):
        return False
    if selection is None:
        return old.chapters == new.chapters
    return all(old.chapters.get(name) == new.chapters.get(name) for name in selection)
