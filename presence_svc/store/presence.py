"""What others call in store: heartbeat, leave, evict, count, and who is present, as rules S1-S8 have them.

Called by web and live, never by a browser's word alone: callers have validated ids and decided who may.
Heartbeats and leaves go by group commit in order of arrival; reads of a moment share one exchange (S4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, cast

from ..errors import PresenceError
from ..model import Count
from ..settings import Settings
from . import scripts
from .counts import Counts
from .group_commit import GroupCommit
from .keys import Keys
from .node_commits import Commit, NodeCommits
from .recorder import Recorder
from .redis.link import Link
from .rounds import course_of
from .write import HeartbeatResult, HeartbeatWrite, LeaveWrite, Outcome, WithSeq, Write


class Presence:
    """Who is where. `on_due(delay_ms, partition)` hears when a message is due, `on_group` of group sizes.

    On a Cluster each master has a group commit of its own.
    """

    def __init__(self, link: Link, settings: Settings) -> None:
        self.link = link
        self.settings = settings
        self.keys = Keys.of(settings)
        self.on_due: Callable[[int, int], None] = lambda delay_ms, partition: None
        self.on_group: Callable[[int], None] = lambda size: None
        self.is_late: Callable[[], bool] = lambda: False  # what is at hand was said too long ago
        self.recorder = Recorder(link, settings, self.keys, lambda *due: self.on_due(*due))
        self._counts = Counts(link, settings, self.keys)
        self._group_commit = _group_commits(link, settings)
        self._writes: GroupCommit[Write, HeartbeatResult] | NodeCommits[Write, HeartbeatResult]
        self._reads: GroupCommit[str, Count] | NodeCommits[str, Count]
        if link.is_cluster:
            self._writes = NodeCommits(
                self.recorder.record, self._make_writes, lambda write: self._node_of(course_of(write)), link
            )
            self._reads = NodeCommits(self._counts.read, self._make_reads, self._node_of, link)
        else:
            self._writes = self._make_writes(self.recorder.record)
            self._reads = self._make_reads(self._counts.read)

    def _make_writes(self, commit: Commit[Write, HeartbeatResult]) -> GroupCommit[Write, HeartbeatResult]:
        return self._group_commit(
            commit,
            limit=self.settings.queue_limit,
            on_group=lambda size: self.on_group(size),
            is_late=lambda: self.is_late(),
        )

    def _make_reads(self, commit: Commit[str, Count]) -> GroupCommit[str, Count]:
        return self._group_commit(commit, limit=self.settings.queue_limit)

    def _node_of(self, course_id: str) -> Hashable:
        return self.link.node_of(self.keys.partition_of(course_id).slot)

    async def close(self) -> None:
        """Lets what is under way come to its end."""
        await self._writes.close()
        await self._reads.close()

    def heartbeat(self, write: HeartbeatWrite, seq: bytes | None = None) -> asyncio.Future[HeartbeatResult]:
        """Records presence, with the heartbeat's own seq or another (as it travels).

        The future, or this call, raises Limited or Unavailable.
        """
        return self._writes.submit((write, write.seq if seq is None else seq))

    def heartbeats(self, writes: Sequence[WithSeq]) -> asyncio.Future[list[Outcome]]:
        """Records many, in order; what is wrong with one, or with all, stands in its place."""
        return self._writes.submit_many(writes)

    def post(self, write: HeartbeatWrite, seq: bytes, done: Callable[[Outcome], None]) -> None:
        """As heartbeat, for callers with no task to wait in. Raises Unavailable when too many wait."""
        self._writes.post((write, seq), done)

    async def leave(self, write: LeaveWrite) -> None:
        """Ends a session, or cuts its lease when the leave is soft (S5). Raises Unavailable."""
        await self._writes.submit(write)

    async def count(self, course_id: str) -> Count:
        """The exact count of a course now (S4). Raises Unavailable."""
        return await self._reads.submit(course_id)

    async def counts(self, course_ids: Iterable[str]) -> list[Count]:
        """Exact counts in the order asked, usually of one moment. Raises Unavailable."""
        return list(await asyncio.gather(*map(self._reads.submit, course_ids)))

    async def counts_or_errors(self, course_ids: Iterable[str]) -> list[Count | PresenceError]:
        """The same, with an error in the place of a course whose master is away."""
        asked = [self._reads.submit(course_id) for course_id in course_ids]
        found = await asyncio.gather(*asked, return_exceptions=True)
        for count in found:
            if isinstance(count, BaseException) and not isinstance(count, PresenceError):
                raise count
        return cast(list[Count | PresenceError], found)

    async def are_present(self, pairs: Sequence[tuple[str, str]]) -> list[bool | PresenceError]:
        """Which of these (course, viewer) are present now, by Redis's clock. Raises Unavailable."""
        scores = [("ZSCORE", self.keys.course(course).viewers, viewer) for course, viewer in pairs]
        time, *ends = await self.link.results([("TIME",), *scores], low_priority=True)
        if isinstance(time, PresenceError):
            raise time
        now = int(time[0]) * 1000 + int(time[1]) // 1000
        return [
            end if isinstance(end, PresenceError) else end is not None and float(end) > now for end in ends
        ]

    async def ping(self) -> None:
        """Asks Redis for an answer. Raises Unavailable."""
        await self.link.pipeline([("PING",)])

    async def evict(
        self, course_id: str, viewer_id: str, ban_s: float = 0, *, is_last_word: bool = False
    ) -> None:
        """Removes a viewer with all sessions, which do not come back within a TTL. Raises Unavailable.

        Within `ban_s` nothing that the viewer says counts, whatever their session. A longer ban that there is
        stays, unless this is the last word.
        """
        keys, settings = self.keys, self.settings
        partition = keys.partition_of(course_id)
        names = (
            partition.agenda,
            partition.where,
            *keys.course(course_id),
            keys.viewer(course_id, viewer_id),
            keys.left(course_id, viewer_id),
        )
        args = (
            settings.publish_interval_ms,
            settings.ttl_ms,
            *settings.books,
            viewer_id,
            round(ban_s * 1000),
            int(is_last_word),
        )
        if await self.link.call(scripts.EVICT, names, args, low_priority=True):
            self.on_due(settings.publish_interval_ms, partition.number)


def _group_commits(link: Link, settings: Settings) -> type[GroupCommit[Any, Any]]:
    """The plain one, unless groups and exchanges are to be traced."""
    if not settings.otel:
        return GroupCommit
    from .traced.commit import TracedCommit  # OpenTelemetry is an extra
    from .traced.link import trace_link

    trace_link(link)
    return TracedCommit
