"""The outermost ASGI app with PRESENCE_OTEL=on: a span per API request. Made by app, and imported only then.

The span of a stream or socket ends when it is open, as what follows belongs to no request. Pages, health
checks and undocumented routes have no spans.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import tracing
from .api.routes import ROUTES, STREAM
from .root_path import below

PATHS = [(route.method.upper(), route.path, compile_path(route.path)[0]) for route in ROUTES if route.summary]
CLOSED = 403  # what servers answer if a socket is closed before the handshake


class RequestSpans:
    """Starts to export when it is created, and stops with the lifespan. Raises Misconfigured."""

    def __init__(self, app: ASGIApp, root_path: str = "") -> None:
        self._app = app
        self._root = root_path
        self._stop = tracing.start()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            await asyncio.to_thread(self._stop)
        elif (route := self._route(scope)) is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(route, scope, receive, send)
        else:
            await self._request(route, scope, receive, send)

    def _route(self, scope: Scope) -> str | None:
        method = scope.get("method", "GET")
        path = below(scope, self._root)["path"].removeprefix(scope.get("root_path", ""))
        asked = "GET" if method == "HEAD" else method
        return next((name for made, name, shape in PATHS if made == asked and shape.match(path)), None)

    async def _request(self, route: str, scope: Scope, receive: Receive, send: Send) -> None:
        span = _open(scope["method"], route, scope)

        async def seen(message: Message) -> None:
            if message["type"] == "http.response.start":
                tracing.answered(span, message["status"])
                if _is_stream(message):
                    tracing.close(span)
            await send(message)

        with tracing.within(span):
            await self._app(scope, receive, seen)

    async def _socket(self, route: str, scope: Scope, receive: Receive, send: Send) -> None:
        """The span is never made current: tasks that live as long as the socket would inherit it."""
        opening: tracing.Span | None = _open("GET", route, scope)

        async def seen(message: Message) -> None:
            nonlocal opening
            if opening is not None:
                tracing.answered(opening, _status(message))
                tracing.close(opening)
                opening = None
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            if opening is not None:
                tracing.close(opening)


def _open(method: str, route: str, scope: Scope) -> tracing.Span:
    attributes = {"http.request.method": method, "http.route": route, "url.scheme": scope.get("scheme", "")}
    return tracing.open_request(f"{method} {route}", dict(_headers(scope)), attributes)


def _headers(scope: Scope) -> Iterator[tuple[str, str]]:
    for name, value in scope["headers"]:
        yield name.decode("latin-1"), value.decode("latin-1")


def _is_stream(message: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(STREAM.encode()) for name, value in message["headers"]
    )


def _status(message: Message) -> int:
    if message["type"] == "websocket.accept":
        return 101
    status: int = message.get("status", CLOSED)
    return status
