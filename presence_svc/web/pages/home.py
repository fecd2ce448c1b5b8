"""`/`: lists the pages, and describes how this service is configured. HTML for browsers, JSON for others.

The pages themselves read the JSON, to know what needs a token. It contains nothing secret.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ... import __version__
from ...settings import Settings
from ..request import json
from .files import PAGE, POLICY, load, page_headers


def routes(settings: Settings) -> list[BaseRoute]:
    """The home route, if there are any pages. Links are relative, to work below a proxy's path."""
    if not settings.pages:
        return []
    page, description = load()["index.html"], described(settings)

    async def home(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            reply = page.answer(request, PAGE, page_headers(POLICY))
        else:
            reply = json(description)
        reply.headers["Vary"] = "Accept, Accept-Encoding"
        return reply

    return [Route("/", home)]


def described(settings: Settings) -> dict[str, Any]:
    """What pages must know: whether viewers need a token, and what can be seen without one."""
    is_jwt = settings.auth == "jwt"
    return {
        "service": "presence-svc",
        "version": __version__,
        "auth": "jwt" if is_jwt else "trusted",
        "anonymous_viewers": settings.allow_anonymous or not is_jwt,
        "counts_without_token": settings.public_counts or not is_jwt,
        "pages": list(settings.pages),
        "links": {
            **{name: name for name in settings.pages},
            "openapi": "openapi.json",
            "asyncapi": "asyncapi.json",
            "badge": "live-viewer-badge.js",
        },
    }
