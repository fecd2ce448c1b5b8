"""The routes of heartbeats: a single one, as a bare ASGI endpoint, and many in one call, for services."""

from __future__ import annotations

from typing import Annotated

import orjson
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ...auth.roles import Action
from ...errors import PresenceError
from ...model import CourseHeartbeat, HeartbeatReply, Problem
from ...store.write import Outcome
from .. import body
from ..heartbeat import HeartbeatHandler, RawResponse
from ..problems import problem
from ..request import check_origin, enter
from . import batch


class HeartbeatBatch(BaseModel):
    """Up to 1,000 heartbeats of any courses."""

    heartbeats: Annotated[list[CourseHeartbeat], Field(min_length=1, max_length=batch.ITEMS)]


class HeartbeatResults(BaseModel):
    """For each heartbeat, in order, its reply or its problem."""

    results: list[HeartbeatReply | Problem]


class SingleHeartbeat:
    """`POST /v1/courses/{course_id}/heartbeat` behind the router; usually web.dispatch comes first."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler: HeartbeatHandler = scope["app"].state.handler
        await answer(handler, scope["path_params"]["course_id"], scope, receive, send)


async def answer(
    handler: HeartbeatHandler, course_id: str, scope: Scope, receive: Receive, send: Send
) -> int:
    """Answers one heartbeat; returns the status."""
    client = scope.get("client")
    reply = await _reply(handler, course_id, body.headers(scope), client[0] if client else "", receive)
    headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
    if reply.status == 500:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
    return reply.status


async def _reply(
    handler: HeartbeatHandler, course_id: str, fields: dict[bytes, bytes], peer: str, receive: Receive
) -> RawResponse:
    origin = fields.get(b"origin")
    try:
        handler.origins.check(fields)
        body.checked_id(course_id, "/course_id")
        content = await body.read_fields(
            fields, receive, cap=handler.body_limit, deadline_s=handler.body_deadline_s
        )
        admitted = handler.admit(fields.get(b"authorization"), peer, course_id, content)
        cached, seq = admitted if isinstance(admitted, tuple) else await admitted
        return handler.recorded(cached, await handler.service.presence.heartbeat(cached.write, seq), origin)
    except PresenceError as error:
        return handler.failed(error, origin)
    except Exception:
        return handler.broken(origin)


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
    """For each item, in order, its reply, or the problem of reading or of recording it."""
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
