"""Ids that hide a person: the ids of anonymous viewers, and pseudonyms that others see instead of ids.

Both are keyed hashes with the replicas' common secret: they cannot be forged, and all replicas make the same.
Raises Unavailable before the secret is known.
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
    """The viewer id of a session without a token: always the same, so that a lost reply does no harm."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def of(self, course_id: str, session_id: str) -> str:
        """Raises Invalid for a short session id, which could be guessed: it is the only proof of identity."""
        if len(session_id) < SESSION_CHARS:
            reason = f"must have {SESSION_CHARS} random characters or more for a viewer without a token"
            raise Invalid([("/session_id", reason)])
        return PREFIX + _hash(self._shared.known_secret(), b"presence-anon", f"{course_id}\n{session_id}")

    def previous(self, course_id: str, session_id: str) -> str:
        """The session's viewer before it had a token; "" if its id is too short for an anonymous viewer."""
        return self.of(course_id, session_id) if len(session_id) >= SESSION_CHARS else ""

    def leaver(self, course_id: str, leave: Leave, *, are_allowed: bool) -> str:
        """A visitor who leaves before they have a leave token: the long session id is proof enough.

        Raises Unauthorized for all others.
        """
        is_visitor = are_allowed and leave.anonymous
        if is_visitor and (viewer_id := self.previous(course_id, leave.session_id)):
            return viewer_id
        raise Unauthorized("a leave needs a token, or the leave_token of its session")


class Pseudonyms(Rosters):
    """Rosters for viewers, with pseudonyms instead of ids, which differ from course to course."""

    def __init__(self, link: Link, settings: Settings, shared: Shared) -> None:
        super().__init__(link, settings, shared)
        self._shared = shared

    def of(self, course_id: str, viewer_id: str) -> str:
        return "~" + _hash(self._shared.known_secret(), b"presence-alias", f"{course_id}\n{viewer_id}")

    def alias(self, course_id: str, viewer_id: str) -> str:
        return self.of(course_id, viewer_id)

    def public_view(self, course_id: str, viewer: Viewer) -> Viewer:
        return viewer.model_copy(update={"viewer_id": self.of(course_id, viewer.viewer_id)})


def _hash(secret: bytes, person: bytes, text: str) -> str:
    return blake2b(text.encode(), key=secret, digest_size=16, person=person).hexdigest()
