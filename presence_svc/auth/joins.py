"""Applies the limits on joins to sessions that are new to this process, unless their viewer is present.

Redis is asked for that only once a limit is reached. A replica that has just started knows no sessions, and
must not take renewals for joins.
"""

from __future__ import annotations

from collections.abc import Awaitable

from ..errors import PresenceError
from ..store.group_commit import GroupCommit
from ..store.presence import Presence
from ..store.write import HeartbeatWrite
from .rates import Rates
from .token_bucket import OverRate

WAITING = 5_000

Pair = tuple[str, str]
Admitted = HeartbeatWrite | Awaitable[HeartbeatWrite]  # at once, or after a fetch


class Joins:
    """Concurrent questions to Redis share one exchange."""

    def __init__(self, presence: Presence, rates: Rates) -> None:
        self._presence = presence
        self._rates = rates
        self._asked: GroupCommit[Pair, bool] = GroupCommit(self._read, limit=WAITING)

    def admit(self, write: HeartbeatWrite, address: str | None) -> Admitted:
        """Admits a session's first heartbeat here; `address` is None with a token. Raises OverRate."""
        if address is None:  # a viewer without a token is a single session
            self._rates.viewer(write.viewer_id)
        if refusal := self._rates.join(write.course_id, write.viewer_id, address):
            return self._if_present(write, refusal)
        self._rates.beat(session_of(write))
        return write

    async def _if_present(self, write: HeartbeatWrite, refusal: OverRate) -> HeartbeatWrite:
        if not await self.is_present(write.course_id, write.viewer_id):
            raise refusal
        self._rates.beat(session_of(write))
        return write

    async def is_present(self, course_id: str, viewer_id: str) -> bool:
        """Whether a viewer is present in a course. Raises Unavailable."""
        return await self._asked.submit((course_id, viewer_id))

    async def _read(self, pairs: list[Pair]) -> list[bool | PresenceError]:
        return await self._presence.are_present(pairs)


def session_of(write: HeartbeatWrite) -> int:
    """The key of a session in rate limits."""
    return hash((write.course_id, write.viewer_id, write.heartbeat.session_id))
