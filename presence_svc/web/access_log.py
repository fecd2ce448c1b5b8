"""Counts every answer by route and status, and logs a line for a sample of them. Pure ASGI, in web.dispatch.

It also adds the headers that every answer needs: by default nothing may be cached. Heartbeats and WebSockets
do not pass through here; web.heartbeat and web.ws do the same for them.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Collection
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..logs import clean
from ..metrics import Metrics

log = logging.getLogger("presence.access")
DEFAULTS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class AccessLog:
    """`sample` is the share of requests that are logged; `addresses`: with the clients' addresses."""

    def __init__(self, app: ASGIApp, metrics: Metrics, sample: float, *, addresses: bool = False) -> None:
        self.app = app
        self.metrics = metrics
        self.sample = sample
        self.addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _complete(message.get("headers", ()))
                self._answered(scope, message["status"], began)
            await send(message)

        await self.app(scope, receive, counted)

    def _answered(self, scope: Scope, status: int, began: float) -> None:
        endpoint = scope.get("endpoint")
        route = getattr(endpoint, "__name__", type(endpoint).__name__) if endpoint else "none"
        self.metrics.answered(route, status)
        if self.sample:
            self.log(scope, status, began)

    def log(self, scope: Scope, status: int, began: float) -> None:
        """Logs one line, for the sampled share of answers; `began` is a time of perf_counter."""
        if random.random() < self.sample:
            client = scope.get("client")
            fields = {
                "method": scope["method"],
                "path": clean(scope["path"], 300),
                "status": status,
                "ms": round((perf_counter() - began) * 1000, 1),
            }
            if self.addresses:
                fields["address"] = client[0] if client else None
            log.info("request", extra={"fields": fields})


def _complete(headers: Collection[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    names = {name for name, _ in headers}
    return [*headers, *(header for header in DEFAULTS if header[0] not in names)]
