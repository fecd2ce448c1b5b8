"""Sessions that are new to this process: held to the limits on newcomers, unless their viewer is present.

That is asked of Redis, once such a limit is reached. A replica that has just started knows nobody, and must
not take those who renew for a crowd that is new.
"""

from __future__ import annotations

from collections.abc import Awaitable

from ..errors import PresenceError
from ..store.group_commit import GroupCommit
from ..store.presence import Presence
from ..store.write import Beat
from .rates import Rates
from .token_bucket import OverRate

WAITING = 5_000

Pair = tuple[str, str]


class Joins:
    """Questions of a moment share one exchange."""

    def __init__(self, presence: Presence, rates: Rates) -> None:
        self._presence = presence
        self._rates = rates
        self._asked: GroupCommit[Pair, bool] = GroupCommit(self._read, limit=WAITING)

    def admit(self, beat: Beat, address: str | None) -> Beat | Awaitable[Beat]:
        """The first of a session here; `address` of one without a token. Raises OverRate, Unavailable."""
        if address is None:  # without a token a viewer is one session
            self._rates.viewer(beat.viewer_id)
        if refusal := self._rates.join(beat.course_id, beat.viewer_id, address):
            return self._if_present(beat, refusal)
        self._rates.beat(session_of(beat))
        return beat

    async def _if_present(self, beat: Beat, refusal: OverRate) -> Beat:
        if not await self.is_present(beat.course_id, beat.viewer_id):
            raise refusal
        self._rates.beat(session_of(beat))
        return beat

    async def is_present(self, course_id: str, viewer_id: str) -> bool:
        """Raises Unavailable."""
        return await self._asked.submit((course_id, viewer_id))

    async def _read(self, pairs: list[Pair]) -> list[bool | PresenceError]:
        keys = self._presence.keys
        scores = [("ZSCORE", keys.course(course).viewers, viewer) for course, viewer in pairs]
        (seconds, micros), *ends = await self._presence.link.pipeline([("TIME",), *scores])
        now = int(seconds) * 1000 + int(micros) // 1000
        return [end is not None and float(end) > now for end in ends]


def session_of(beat: Beat) -> int:
    """What limits know a session by."""
    return hash((beat.course_id, beat.viewer_id, beat.said.session_id))
