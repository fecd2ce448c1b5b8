"""Sessions that are new to this process: held to the limits on newcomers, unless their viewer is present.

That is asked of Redis, once such a limit is reached. A replica that has just started knows nobody, and must
not mistake sessions that renew for new ones.
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
Admitted = HeartbeatWrite | Awaitable[HeartbeatWrite]  # at once, or once something is fetched


class Joins:
    """Questions of a moment share one exchange."""

    def __init__(self, presence: Presence, rates: Rates) -> None:
        self._presence = presence
        self._rates = rates
        self._asked: GroupCommit[Pair, bool] = GroupCommit(self._read, limit=WAITING)

    def admit(self, write: HeartbeatWrite, address: str | None) -> Admitted:
        """The first of a session here; `address` of one without a token. Raises OverRate, Unavailable."""
        if address is None:  # without a token a viewer is one session
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
        """Raises Unavailable."""
        return await self._asked.submit((course_id, viewer_id))

    async def _read(self, pairs: list[Pair]) -> list[bool | PresenceError]:
        return await self._presence.are_present(pairs)


def session_of(write: HeartbeatWrite) -> int:
    """What limits know a session by."""
    return hash((write.course_id, write.viewer_id, write.heartbeat.session_id))
