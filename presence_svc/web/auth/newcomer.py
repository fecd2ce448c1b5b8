"""Whether a viewer is in a course already: asked of Redis once a limit on new viewers is reached.

A replica that has just started knows nobody, and must not take those who renew for a crowd that is new.
"""

from __future__ import annotations

from ...errors import PresenceError
from ...store.committer import Committer
from ...store.presence import Presence

WAITING = 5_000

Pair = tuple[str, str]


class Newcomers:
    """Questions of a moment share one exchange."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._asked: Committer[Pair, bool] = Committer(self._read, limit=WAITING)

    async def is_present(self, course_id: str, viewer_id: str) -> bool:
        """Raises Unavailable."""
        return await self._asked.submit((course_id, viewer_id))

    async def _read(self, pairs: list[Pair]) -> list[bool | PresenceError]:
        keys = self._presence.keys
        scores = [("ZSCORE", keys.course(course).viewers, viewer) for course, viewer in pairs]
        (seconds, micros), *ends = await self._presence.link.pipeline([("TIME",), *scores])
        now = int(seconds) * 1000 + int(micros) // 1000
        return [end is not None and float(end) > now for end in ends]
