"""A route as the service mounts it and as clients see it. Listed in web.api.routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Route as StarletteRoute
from starlette.types import Receive, Scope, Send

from ..query import Parameter

ERRORS = (401, 403, 422, 429, 503)
KEPT_ERRORS = (401, 403, 404, 422, 429, 503)  # of routes that a setting may turn off
BODY_ERRORS = (400, 401, 403, 408, 413, 415, 422, 429, 503)


@dataclass(frozen=True, slots=True)
class Route:
    """`endpoint` is an async function of a Request, or an ASGI app. Without `summary` it is undocumented.

    `reply` is a model, or the media type of a stream; `media` are the media types of a model's reply, the
    default first, and `headers` its further headers. `is_public`: with AUTH=jwt, some settings or a leave
    token allow it without a bearer token.
    """

    method: str
    path: str
    endpoint: Callable[..., Any]
    summary: str = ""
    reply: type[BaseModel] | str | None = None
    body: type[BaseModel] | None = None
    query: tuple[Parameter, ...] = ()
    status: int = 200
    errors: tuple[int, ...] = ERRORS
    tags: tuple[str, ...] = ("courses",)
    operation_id: str = ""
    has_text_body: bool = False
    has_etag: bool = False
    is_public: bool = True
    media: tuple[str, ...] = ("application/json",)
    headers: tuple[tuple[str, str], ...] = ()

    def mounted(self, methods: Sequence[str]) -> StarletteRoute:
        """The route for the router; `methods` are all methods of its path, in any route."""
        # A slash in a viewer id arrives decoded; the id is always the last part of its path.
        path = self.path.replace("{viewer_id}", "{viewer_id:path}")
        route = _MountedRoute(path, self.endpoint, methods=[self.method.upper()])
        route.path = self.path
        route.allowed = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
        return route


class _MountedRoute(StarletteRoute):
    """Answers 405 with all methods of its path, where Starlette would list only the route's own."""

    allowed = ""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.methods and scope["method"] not in self.methods:
            raise HTTPException(405, headers={"Allow": self.allowed})
        await super().handle(scope, receive, send)
