"""Counts every answer by route and status, and logs a sampled one-line record. Pure ASGI, outermost."""

from __future__ import annotations

import logging
import random
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..metrics import Metrics

log = logging.getLogger("presence.access")


class Access:
    """`sample` is the share of requests that are logged, 0 by default; tokens never are."""

    def __init__(self, app: ASGIApp, metrics: Metrics, sample: float) -> None:
        self.app = app
        self.metrics = metrics
        self.sample = sample

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._answered(scope, message["status"], began)
            await send(message)

        await self.app(scope, receive, counted)

    def _answered(self, scope: Scope, status: int, began: float) -> None:
        endpoint = scope.get("endpoint")
        route = getattr(endpoint, "__name__", type(endpoint).__name__) if endpoint else "none"
        self.metrics.answered(route, status)
        if self.sample and random.random() < self.sample:
            took_ms = (perf_counter() - began) * 1000
            log.info("%s %r %d %.1f ms", scope["method"], scope["path"][:300], status, took_ms)
