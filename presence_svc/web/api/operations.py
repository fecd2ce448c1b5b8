"""The operator's routes: liveness, readiness, metrics and the API's descriptions."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from ...auth.roles import Action
from ...errors import Unavailable
from ...metrics import CONTENT_TYPE
from ..request import enter, json, service_of


async def livez(request: Request) -> Response:
    """The process and its event loop run."""
    return json({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Ready only while Redis lets us record heartbeats and the replica is not draining."""
    service = service_of(request)
    if service.hub.draining:
        raise Unavailable("this replica is shutting down")
    await service.readiness.check()
    return json({"status": "ready"})


async def metrics(request: Request) -> Response:
    """Renders in a thread, because many series take a while."""
    await enter(request, Action.METRICS)
    service = service_of(request)
    service.metrics.look()
    counted = await service.census.latest()
    service.metrics.count_heads(counted[:3] if counted else None)
    text = await asyncio.to_thread(service.metrics.render)
    return Response(text, headers={"content-type": CONTENT_TYPE})


async def openapi(request: Request) -> Response:
    """The description of this API, made from the models that validate it: once, in a thread."""
    document = await asyncio.to_thread(request.app.state.openapi)
    return json(document | {"servers": [{"url": "./"}]})  # relative, to work below a proxy's path


async def asyncapi(request: Request) -> Response:
    """The description of streams, sockets and the channel."""
    return json(await asyncio.to_thread(request.app.state.asyncapi))
