"""The state of one course that is watched on this replica: its newest count, its listeners. Owned by hub."""

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

    There is a frame for each selection of chapters that listeners have asked for. A frame is sent again only
    if something in its selection has changed.
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

    def steady_ids(self) -> list[str]:
        """The ids of viewers who are shown now to listeners that want them to stay shown."""
        wanted = {n for n, is_steady in self.listeners.by_names if is_steady}
        self._shown = {n: ids for n, ids in self._shown.items() if n in wanted}
        return list(dict.fromkeys(viewer_id for ids in self._shown.values() for viewer_id in ids))

    def update(self, count: Count) -> bool:
        """Takes a count, unless a newer one is known; returns whether it changes anything."""
        old = self.latest
        if old and count.version <= old.version:
            if (count.as_of, count.version) < (old.as_of, old.version):
                return False
            if count.version < old.version:  # Redis has lost its data; for clients versions never fall
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
                for listener in listeners:  # maybe a crowd: no other work per listener
                    listener.offer(frame)
        self._pause_after(perf_counter() - began)

    def _pause_after(self, cost_s: float) -> None:
        now = asyncio.get_running_loop().time()
        pause = max(0.0, self._not_before - now) + cost_s * SHARE
        self._not_before = now + min(pause, LONGEST_PAUSE_S)

    async def wait_for_pause(self) -> None:
        """Waits until frames may be sent to the crowd again."""
        await asyncio.sleep(max(0.0, self._not_before - asyncio.get_running_loop().time()))

    def send_known(self, listener: Listener) -> None:
        """Sends the latest count to one listener, if there is one."""
        if self.latest is not None:
            listener.offer(self._frame(self.latest, listener.chapters))

    def _frame(self, latest: Count, selection: Selection) -> Frame:
        """The frame for these chapters: the last one, as long as nothing in it has changed."""
        known = self._frames.get(selection)
        if known is not None:
            sent, frame = known
            if (
                sent is latest
                or _same(sent, latest)
                or (selection is not None and _alike(sent, latest, selection))
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

    def send_viewers(
        self,
        roster: Roster,
        kept: list[Viewer],
        public_view: Callable[[Viewer], Viewer] = lambda viewer: viewer,
    ) -> None:
        """Sends names: of viewers heard from most recently, or of those shown before who are still present.

        `kept` are the latter; `public_view` turns a viewer into what others may see of them.
        """
        began = perf_counter()
        version = self.latest.version if self.latest else 0
        for (n, is_steady), listeners in self.listeners.by_names.items():
            shown = self._steady(n, roster, kept) if is_steady else roster.viewers[:n]
            sent = [public_view(viewer) for viewer in shown]
            frame = viewers_frame(self.course_id, sent, roster.total, version)
            for listener in listeners:
                listener.offer(frame)
        self._pause_after(perf_counter() - began)

    def _steady(self, n: int, roster: Roster, kept: list[Viewer]) -> list[Viewer]:
        """Those shown before who are still present, and others only in place of those who left."""
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
    """Whether two counts are the same for these chapters, except for the time."""
    if (old.total, old.anonymous, old.warming) != (new.total, new.anonymous, new.warming):
        return False
    if selection is None:
        return old.chapters == new.chapters
    return all(old.chapters.get(name) == new.chapters.get(name) for name in selection)
