"""The heartbeat route: a bare ASGI endpoint, since it is nearly all of the traffic; and its batch form."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..errors import Invalid, PresenceError
from ..model import CourseHeartbeat, Heartbeat
from ..store.batch import Beat, Recorded
from . import body
from .problems import problem
from .service import Service

BATCH = 1000
JSON_HEADERS = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


class HeartbeatEndpoint:
    """`POST /v1/courses/{course_id}/heartbeat`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service: Service = scope["app"].state.service
        course_id = body.course_id(scope)
        said = body.validate(Heartbeat, body.parse(await body.read(scope, receive)))
        beat = Beat(course_id, viewer_of(said), said)
        reply = orjson.dumps(answer(service, beat, await service.presence.heartbeat(beat)))
        headers = [*JSON_HEADERS, (b"content-length", b"%d" % len(reply))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})


def viewer_of(said: Heartbeat, *base: str | int) -> str:
    """Whose presence this is. Raises Invalid when nobody is named."""
    if said.viewer_id is None:
        raise Invalid([("/" + "/".join(map(str, (*base, "viewer_id"))), "is required")])
    return said.viewer_id


def answer(service: Service, beat: Beat, recorded: Recorded) -> dict[str, Any]:
    """The heartbeat's reply. The next one is due in HEARTBEAT_INTERVAL less 10 to 20 %: no crowd beats in step."""
    interval_ms = service.settings.heartbeat_interval * 1000
    session_id = beat.said.session_id
    return {
        "course_id": beat.course_id,
        "viewer_id": beat.viewer_id,
        "session_id": session_id,
        "total": recorded.total,
        "expires_at": recorded.expires_at,
        "next_heartbeat_ms": int(interval_ms * random.uniform(0.8, 0.9)),
        "leave_token": service.leave_tokens.make(beat.course_id, beat.viewer_id, session_id),
    }


async def heartbeats(request: Request) -> Response:
    """`POST /v1/heartbeats`: up to 1,000 of any courses; a result or a problem for each, in order."""
    service: Service = request.app.state.service
    value = body.parse(await body.read(request.scope, request.receive, cap=body.BATCH_CAP))
    items = value.get("heartbeats")
    if not isinstance(items, list) or not 1 <= len(items) <= BATCH:
        raise Invalid([("/heartbeats", f"must be a list of 1 to {BATCH} heartbeats")])
    results = await asyncio.gather(*(_one(service, item, index) for index, item in enumerate(items)))
    return Response(orjson.dumps({"results": results}), media_type="application/json")


async def _one(service: Service, item: Any, index: int) -> dict[str, Any]:
    """One heartbeat of a batch; what is wrong with it is told in its place and spoils no other."""
    try:
        said = body.validate(CourseHeartbeat, item, "heartbeats", index)
        beat = Beat(said.course_id, viewer_of(said, "heartbeats", index), said)
        return answer(service, beat, await service.presence.heartbeat(beat))
    except PresenceError as error:
        return problem(error)
