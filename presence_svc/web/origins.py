"""Which pages may write, or open a socket: asked by every route that changes something, on either path.

CORS alone does not stop a foreign page: a POST without our headers, and a WebSocket, need no preflight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import Forbidden


class Origins:
    """Those that are listed ("*": any), and our own: the demo may always speak to who has served it."""

    def __init__(self, listed: Sequence[str]) -> None:
        self._any = "*" in listed
        self._listed = frozenset(origin.encode() for origin in listed)

    def allow(self, fields: Mapping[bytes, bytes]) -> bool:
        """By a request's headers, lower-case. Programs send no origin, and browsers always do."""
        origin = fields.get(b"origin")
        if origin is None or self._any or origin in self._listed:
            return True
        # What the browser itself says of it: a proxy may have changed the host that it asked for.
        site = fields.get(b"sec-fetch-site")
        if site is not None:
            return site == b"same-origin"
        scheme, _, host = origin.lower().partition(b"://")
        return scheme in (b"http", b"https") and host == fields.get(b"host", b"").lower()

    def check(self, fields: Mapping[bytes, bytes]) -> None:
        """Raises Forbidden."""
        if not self.allow(fields):
            raise Forbidden("pages of this origin may not do this (PRESENCE_CORS_ORIGINS)")
