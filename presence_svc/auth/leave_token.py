"""The token with which a beacon, which cannot have headers, ends a session. In every heartbeat's reply."""

from __future__ import annotations

import hmac
from hashlib import blake2b

from ..store.shared import Shared


class LeaveTokens:
    """A token lets a beacon end one session, and nothing else. Stateless: a keyed hash of what it may do."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @property
    def secret(self) -> bytes:
        """The current secret; a new object when it has changed, empty before it is known."""
        return self._shared.secret

    def make(self, course_id: str, viewer_id: str, session_id: str) -> str:
        """Makes a token. Raises Unavailable before the secret is known, as `holds` does."""
        # No id contains a newline, so that different triples give different texts.
        text = f"{course_id}\n{viewer_id}\n{session_id}".encode()
        secret = self._shared.known_secret()
        return blake2b(text, key=secret, digest_size=16, person=b"presence-leave").hexdigest()

    def holds(self, token: str, course_id: str, viewer_id: str, session_id: str) -> bool:
        """Checks a token, in constant time."""
        return hmac.compare_digest(token.encode(), self.make(course_id, viewer_id, session_id).encode())
