"""Ids that hide a person: an anonymous viewer's own, and pseudonyms for those whose ids others see.

Both are keyed hashes with the replicas' common secret: nobody can make them up, every replica makes the same.
Raises Unavailable before that is known.
"""

from __future__ import annotations

from hashlib import blake2b

from ..errors import Invalid, Unauthorized
from ..model import Leave, Viewer
from ..settings import Settings
from ..store.redis.link import Link
from ..store.roster.reader import Rosters
from ..store.shared import Shared

PREFIX = "anon~"
SESSION_CHARS = 16


class AnonymousIds:
    """The viewer id of a session without a token: always the same, so that a lost reply leaves no ghost."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def of(self, course_id: str, session_id: str) -> str:
        """Raises Invalid for a session id that others could guess: it is all that proves whose it is."""
        if len(session_id) < SESSION_CHARS:
            reason = f"must have {SESSION_CHARS} random characters or more for a viewer without a token"
            raise Invalid([("/session_id", reason)])
        return PREFIX + _hash(self._shared.known_secret(), b"presence-anon", f"{course_id}\n{session_id}")

    def previous(self, course_id: str, session_id: str) -> str:
        """Who a session was before it had a token; "" for one that cannot have been anybody."""
        return self.of(course_id, session_id) if len(session_id) >= SESSION_CHARS else ""

    def leaver(self, course_id: str, said: Leave, *, are_allowed: bool) -> str:
        """Who goes before the first answer has brought a leave token: only they know so long a session id.

        Raises Unauthorized for all others.
        """
        is_visitor = are_allowed and said.anonymous
        if is_visitor and (viewer_id := self.previous(course_id, said.session_id)):
            return viewer_id
        raise Unauthorized("a leave needs a token, or the leave_token of its session")


class Pseudonyms(Rosters):
    """Rosters as viewers may see them: under ids that differ from course to course."""

    def __init__(self, link: Link, settings: Settings, shared: Shared) -> None:
        super().__init__(link, settings, shared)
        self._shared = shared

    def of(self, course_id: str, viewer_id: str) -> str:
        return "~" + _hash(self._shared.known_secret(), b"presence-alias", f"{course_id}\n{viewer_id}")

    def alias(self, course_id: str, viewer_id: str) -> str:
        return self.of(course_id, viewer_id)

    def seen(self, course_id: str, viewer: Viewer) -> Viewer:
        return viewer.model_copy(update={"viewer_id": self.of(course_id, viewer.viewer_id)})


def _hash(secret: bytes, person: bytes, said: str) -> str:
    return blake2b(said.encode(), key=secret, digest_size=16, person=person).hexdigest()
