"""One route as the service mounts it and as a client sees it. Listed in web.api.routes."""

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
KEPT_ERRORS = (401, 403, 404, 422, 429, 503)  # of what a setting may turn off
BODY_ERRORS = (400, 401, 403, 408, 413, 415, 422, 429, 503)


@dataclass(frozen=True, slots=True)
class Route:
    """`endpoint` is an async function of a Request, or an ASGI app. Without `summary` it is not described.

    `reply` is a model, or the media type of a stream; `media` are the types that a model's reply may have,
    the first by default, and `headers` what it carries besides. `is_public`: some settings of AUTH=jwt, or a
    leave token, let in who has no bearer token.
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
        """As the router wants it; `methods` are all that its path has, in any route."""
        # A slash in a viewer's name arrives decoded; whose last part it is has nothing behind it.
        path = self.path.replace("{viewer_id}", "{viewer_id:path}")
        route = _MountedRoute(path, self.endpoint, methods=[self.method.upper()])
        route.path = self.path
        route.allowed = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
        return route


class _MountedRoute(StarletteRoute):
    """Starlette's own would tell of its own method alone where a path has two."""

    allowed = ""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.methods and scope["method"] not in self.methods:
            raise HTTPException(405, headers={"Allow": self.allowed})
        await super().handle(scope, receive, send)
