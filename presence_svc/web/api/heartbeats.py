"""Many heartbeats in one call, for services. A single one goes through web.heartbeat."""

from __future__ import annotations

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ...auth.roles import Action
from ...errors import PresenceError
from ...store.write import Outcome
from .. import body
from ..heartbeat import HeartbeatHandler
from ..problems import problem
from ..request import check_origin, enter
from . import batch


async def heartbeat(request: Request) -> Response:
    """`POST /v1/courses/{course_id}/heartbeat` is web.dispatch's: here so that other methods get a 405."""
    raise HTTPException(404)


async def heartbeats(request: Request) -> Response:
    """`POST /v1/heartbeats`: up to 1,000 of any courses; a result or a problem for each, in order."""
    handler: HeartbeatHandler = request.app.state.handler
    check_origin(request)
    await enter(request, Action.BATCH)
    raw = await body.read(
        request.scope, request.receive, cap=body.BATCH_CAP, deadline_s=handler.body_deadline_s
    )
    readings = batch.read(handler, raw)
    writes = [(one[0].write, one[1]) for one in readings if isinstance(one, tuple)]
    outcomes = await handler.service.presence.heartbeats(writes)
    content = b'{"results":[%b]}' % b",".join(_replies(readings, outcomes, handler.interval_ms))
    return Response(content, media_type="application/json")


def _replies(readings: list[batch.Reading], outcomes: list[Outcome], interval_ms: float) -> list[bytes]:
    """What each item is told, in its place: its reply, or what was wrong with it or with recording it."""
    results, replies = iter(outcomes), []
    for reading in readings:
        if isinstance(reading, PresenceError):
            replies.append(_problem(reading))
            continue
        result = next(results)
        if isinstance(result, PresenceError):
            replies.append(_problem(result))
        else:
            replies.append(reading[0].reply(result, interval_ms))
    return replies


def _problem(error: PresenceError) -> bytes:
    return orjson.dumps(problem(error))
