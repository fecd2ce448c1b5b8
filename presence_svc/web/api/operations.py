"""What an operator expects: alive, ready, metrics."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from ...auth.roles import Action
from ...errors import Unavailable
from ...metrics import CONTENT_TYPE
from ..request import enter, json, service_of


async def livez(request: Request) -> Response:
    """The process runs and its loop turns."""
    return json({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Ready only while Redis lets us record heartbeats and the replica is not on its way out."""
    service = service_of(request)
    if service.hub.draining:
        raise Unavailable("this replica is shutting down")
    await service.readiness.check()
    return json({"status": "ready"})


async def metrics(request: Request) -> Response:
    """Rendering may take a while with many series: not on the loop."""
    await enter(request, Action.METRICS)
    service = service_of(request)
    service.metrics.look()
    counted = await service.census.latest()
    service.metrics.count_heads(counted[:3] if counted else None)
    text = await asyncio.to_thread(service.metrics.render)
    return Response(text, headers={"content-type": CONTENT_TYPE})


async def openapi(request: Request) -> Response:
    """The description of this API, made from the models that validate it: once, and not on the loop."""
    document = await asyncio.to_thread(request.app.state.openapi)
    return json(document | {"servers": [{"url": "./"}]})  # also below a proxy's path


async def asyncapi(request: Request) -> Response:
    """The description of streams, sockets and the channel, from the models that tests hold every frame to."""
    return json(await asyncio.to_thread(request.app.state.asyncapi))
