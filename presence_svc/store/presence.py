"""The operations on presence: heartbeat, leave, evict, count, and who is present (S1-S8).

Called by web and live, which have validated ids and checked permissions. Heartbeats and leaves go through
group commit in order of arrival; concurrent reads share one exchange (S4).
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
    """Calls `on_due(delay_ms, partition)` when a message is due, and `on_group(size)` for each group.

    On a Cluster each master has its own group commit.
    """

    def __init__(self, link: Link, settings: Settings) -> None:
        self.link = link
        self.settings = settings
        self.keys = Keys.of(settings)
        self.on_due: Callable[[int, int], None] = lambda delay_ms, partition: None
        self.on_group: Callable[[int], None] = lambda size: None
        self.is_late: Callable[[], bool] = lambda: False  # whether requests at hand are outdated
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
        """Waits for everything under way."""
        await self._writes.close()
        await self._reads.close()

    def heartbeat(self, write: HeartbeatWrite, seq: bytes | None = None) -> asyncio.Future[HeartbeatResult]:
        """Records a heartbeat, with its own seq or the given one (RESP-encoded).

        This call, or the future, raises Limited or Unavailable.
        """
        return self._writes.submit((write, write.seq if seq is None else seq))

    def heartbeats(self, writes: Sequence[WithSeq]) -> asyncio.Future[list[Outcome]]:
        """Records many heartbeats in order. Errors are values in the list of results."""
        return self._writes.submit_many(writes)

    def post(self, write: HeartbeatWrite, seq: bytes, done: Callable[[Outcome], None]) -> None:
        """As heartbeat, for callers without a task to wait in. Raises Unavailable when too many wait."""
        self._writes.post((write, seq), done)

    async def leave(self, write: LeaveWrite) -> None:
        """Ends a session, or shortens its lease if the leave is soft (S5). Raises Unavailable."""
        await self._writes.submit(write)

    async def count(self, course_id: str) -> Count:
        """The exact count of a course now (S4). Raises Unavailable."""
        return await self._reads.submit(course_id)

    async def counts(self, course_ids: Iterable[str]) -> list[Count]:
        """Exact counts in the order asked, usually of one moment. Raises Unavailable."""
        return list(await asyncio.gather(*map(self._reads.submit, course_ids)))

    async def counts_or_errors(self, course_ids: Iterable[str]) -> list[Count | PresenceError]:
        """The same, with an error instead of a count for a course whose master is away."""
        asked = [self._reads.submit(course_id) for course_id in course_ids]
        found = await asyncio.gather(*asked, return_exceptions=True)
        for count in found:
            if isinstance(count, BaseException) and not isinstance(count, PresenceError):
                raise count
        return cast(list[Count | PresenceError], found)

    async def are_present(self, pairs: Sequence[tuple[str, str]]) -> list[bool | PresenceError]:
        """Which of these (course, viewer) pairs are present now, by Redis's clock. Raises Unavailable."""
        scores = [("ZSCORE", self.keys.course(course).viewers, viewer) for course, viewer in pairs]
        time, *ends = await self.link.results([("TIME",), *scores], low_priority=True)
        if isinstance(time, PresenceError):
            raise time
        now = int(time[0]) * 1000 + int(time[1]) // 1000
        return [
            end if isinstance(end, PresenceError) else end is not None and float(end) > now for end in ends
        ]

    async def ping(self) -> None:
        """Checks that Redis answers. Raises Unavailable."""
        await self.link.pipeline([("PING",)])

    async def evict(
        self, course_id: str, viewer_id: str, ban_s: float = 0, *, replaces_ban: bool = False
    ) -> None:
        """Removes a viewer with all sessions, which are then ignored for a TTL. Raises Unavailable.

        For `ban_s` seconds everything from the viewer is ignored, in any session. A longer existing ban stays
        unless `replaces_ban`.
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
            *settings.history_args,
            viewer_id,
            round(ban_s * 1000),
            int(replaces_ban),
        )
        if await self.link.call(scripts.EVICT, names, args, low_priority=True):
            self.on_due(settings.publish_interval_ms, partition.number)


def _group_commits(link: Link, settings: Settings) -> type[GroupCommit[Any, Any]]:
    """The plain class, or the traced one if tracing is on."""
    if not settings.otel:
        return GroupCommit
    from .traced.commit import TracedCommit  # OpenTelemetry is an extra
    from .traced.link import trace_link

    trace_link(link)
    return TracedCommit
