"""Which pages may read (CORS), and which may write or open a socket (Origins), on both paths of a heartbeat.

CORS alone does not stop a foreign page: a simple POST and a WebSocket need no preflight. So every route that
changes something checks Origins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from ..errors import BadRequest, Forbidden
from .problems import MEDIA_TYPE, problem

EXPOSED = ("ETag", "Presence-Cursor", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate")
DAY_S = 86_400


class Origins:
    """The listed origins ("*": any), and our own: the demo may always use the service that served it."""

    def __init__(self, listed: Sequence[str]) -> None:
        self._any = "*" in listed
        self._listed = frozenset(origin.encode() for origin in listed)

    def allow(self, fields: Mapping[bytes, bytes]) -> bool:
        """Judges by a request's headers (lower-case). Browsers always send an origin, programs do not."""
        origin = fields.get(b"origin")
        if origin is None or self._any or origin in self._listed:
            return True
        # The browser's own verdict comes first, because a proxy may have changed the Host header.
        site = fields.get(b"sec-fetch-site")
        if site is not None:
            return site == b"same-origin"
        scheme, _, host = origin.lower().partition(b"://")
        return scheme in (b"http", b"https") and host == fields.get(b"host", b"").lower()

    def check(self, fields: Mapping[bytes, bytes]) -> None:
        """Raises Forbidden."""
        if not self.allow(fields):
            raise Forbidden("pages of this origin may not do this (PRESENCE_CORS_ORIGINS)")


class Cors(CORSMiddleware):
    """Lets pages of the listed origins read, without cookies or other implicit credentials.

    They may send any header: tracing (`traceparent`, `baggage`), stream readers (`Last-Event-ID`) and
    wrappers of fetch add some, and only Authorization has a meaning here. Answers that are public for every
    origin are the same for each, since some caches ignore `Vary`.
    """

    def __init__(self, app: ASGIApp, listed: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=listed,
            allow_methods=("GET", "HEAD", "POST", "DELETE"),
            allow_headers=("*",),
            allow_private_network=True,  # an allowed origin may be a public site, and we in a private network
            expose_headers=EXPOSED,
            max_age=DAY_S,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """As in Starlette, but a refusal is problem+json."""
        found = super().preflight_response(request_headers)
        if found.status_code < 400:
            return found
        headers = {k: v for k, v in found.headers.items() if k not in ("content-length", "content-type")}
        refused = BadRequest(f"a page may not do this: {bytes(found.body).decode()}")
        return Response(orjson.dumps(problem(refused)), found.status_code, headers, MEDIA_TYPE)

    @staticmethod
    def allow_explicit_origin(headers: MutableHeaders, origin: str) -> None:
        if headers.get("access-control-allow-origin") != "*":
            CORSMiddleware.allow_explicit_origin(headers, origin)
