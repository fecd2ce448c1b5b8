"""The store's front door: heartbeat, leave, evict and count, as rules S1-S8 have them.

Called by web and live, never by a browser's word alone: callers have validated ids and decided who may.
Heartbeats and leaves go by group commit in order of arrival; reads of a moment share one exchange (S4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any

from ..errors import PresenceError
from ..model import Count
from ..settings import Settings
from . import calls as batch
from . import rounds as order
from . import scripts
from .group_commit import GroupCommit
from .keys import Keys
from .redis.link import Command, Link
from .redis.resp import Packed
from .write import Beat, Departure, Op, Recorded, Result, Turn, turn

KEPT_LIMIT = 50_000


class Presence:
    """Who is where. `on_due(delay_ms)` is called when a message of ours falls due (live.sweeper sets it)."""

    def __init__(
        self, link: Link, settings: Settings, *, on_batch: Callable[[int], None] | None = None
    ) -> None:
        self.link = link
        self.settings = settings
        self.keys = Keys(settings.key_prefix)
        self.on_due: Callable[[int], None] = lambda delay_ms: None
        self._kept: dict[str, float] = {}
        self._writes: GroupCommit[Op, Recorded] = GroupCommit(
            self._commit, limit=settings.queue_limit, on_batch=on_batch
        )
        self._reads: GroupCommit[str, Count] = GroupCommit(self._read, limit=settings.queue_limit)

    async def close(self) -> None:
        """Lets what is under way come to its end."""
        await self._writes.close()
        await self._reads.close()

    def heartbeat(self, beat: Beat | Turn[Any]) -> asyncio.Future[Recorded]:
        """Records presence. The future, or this call, raises Limited or Unavailable."""
        return self._writes.submit(beat if isinstance(beat, Turn) else turn(self.keys, beat))

    def heartbeats(self, turns: Sequence[Turn[Any]]) -> asyncio.Future[list[Result]]:
        """Records many, in order; what is wrong with one, or with all, stands in its place."""
        return self._writes.submit_many(turns)

    def post(self, turn: Turn[Any], done: Callable[[Recorded | PresenceError], None]) -> None:
        """As heartbeat, for callers with no task to wait in. Raises Unavailable when too many wait."""
        self._writes.post(turn, done)

    async def leave(self, departure: Departure) -> None:
        """Ends a session, or cuts its lease when the leave is soft (S5). Raises Unavailable."""
        await self._writes.submit(departure)

    async def count(self, course_id: str) -> Count:
        """The exact count of a course now (S4). Raises Unavailable."""
        return await self._reads.submit(course_id)

    async def counts(self, course_ids: Iterable[str]) -> list[Count]:
        """Exact counts in the order asked, usually of one moment. Raises Unavailable."""
        return list(await asyncio.gather(*map(self._reads.submit, course_ids)))

    async def evict(self, course_id: str, viewer_id: str) -> None:
        """Removes a viewer with all sessions; those sessions cannot come back. Raises Unavailable."""
        keys, settings = self.keys, self.settings
        names = (
            keys.agenda,
            keys.where,
            *keys.course(course_id),
            keys.viewer(course_id, viewer_id),
            keys.left(course_id, viewer_id),
        )
        args = (settings.publish_interval_ms, settings.ttl_ms, *settings.books, viewer_id)
        if await self.link.call(scripts.EVICT, names, args):
            self.on_due(settings.publish_interval_ms)

    async def _commit(self, ops: list[Op]) -> list[Result]:
        """One exchange for all that has waited; on failure nobody is told that they were recorded."""
        commands: list[Command | Packed] = []
        readers: list[dict[str, list[int]] | None] = []
        results: list[Result] = [Recorded(0, 0, 0)] * len(ops)
        refreshed: set[str] = set()
        heirs: list[Turn[Any]] = []
        formers = order.formers(ops) if self.settings.allow_anonymous else ()
        for beats, departures in order.rounds(ops, formers):
            if formers and (found := order.heirs(ops, beats)):
                commands.append(batch.succeed_call(self.keys, self.settings, found))
                readers.append(None)
                heirs += found
            if beats:
                courses = batch.by_course(ops, beats)
                refresh = self._to_refresh(courses)
                refreshed |= refresh
                commands.append(batch.heartbeat_call(self.keys, self.settings, ops, courses, refresh))
                readers.append(courses)
            if departures:
                commands.append(batch.leave_call(self.keys, self.settings, ops, departures))
                readers.append(None)
        replies = await self.link.pipeline(commands)
        for reply, read_by in zip(replies, readers, strict=True):
            if read_by is None:
                due_ms = batch.soonest_due(reply)
            else:
                due_ms = batch.heartbeat_results(reply, read_by, results, self.settings)
            if due_ms:
                self.on_due(due_ms)
        for heir in heirs:
            heir.ready.succession = None
        self._refreshed(refreshed)
        return results

    def _to_refresh(self, courses: Iterable[str]) -> set[str]:
        """Courses whose sets we have not kept alive lately. Their expiry has room for half of HIDDEN_TTL."""
        old = monotonic() - self.settings.hidden_ttl / 4
        return {course_id for course_id in courses if self._kept.get(course_id, old) <= old}

    def _refreshed(self, courses: set[str]) -> None:
        if len(self._kept) + len(courses) > KEPT_LIMIT:
            self._kept.clear()
        self._kept.update(dict.fromkeys(courses, monotonic()))

    async def _read(self, course_ids: list[str]) -> list[Count | PresenceError]:
        """One exchange for all reads of a moment, each course once."""
        courses = list(dict.fromkeys(course_ids))
        reply, since = await self.link.pipeline(
            [batch.count_call(self.keys, courses), ("GET", self.keys.since)]
        )
        warming = since is None or reply[0] - int(since) < self.settings.ttl_ms
        found = batch.count_results(reply, courses, warming=warming)
        counts = dict(zip(courses, found, strict=True))
        return [counts[course_id] for course_id in course_ids]
