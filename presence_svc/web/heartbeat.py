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
        reply = answer(service, beat, await service.presence.heartbeat(beat))
        headers = [*JSON_HEADERS, (b"content-length", b"%d" % len(reply))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})


def viewer_of(said: Heartbeat, *base: str | int) -> str:
    """Whose presence this is. Raises Invalid when nobody is named."""
    if said.viewer_id is None:
        raise Invalid([("/" + "/".join(map(str, (*base, "viewer_id"))), "is required")])
    return said.viewer_id


def answer(service: Service, beat: Beat, recorded: Recorded) -> bytes:
    """The heartbeat's reply. The next is due in HEARTBEAT_INTERVAL less 10 to 20 %, so that no crowd beats in step."""
    course_id, viewer_id, session_id = beat.course_id, beat.viewer_id, beat.said.session_id
    wish_ms = service.settings.heartbeat_interval * (900 - 100 * random.random())
    token = service.leave_tokens.make(course_id, viewer_id, session_id)
    # Ids hold nothing that JSON would escape (model.ID_PATTERN): no encoder is needed on the hottest path.
    return (
        f'{{"course_id":"{course_id}","viewer_id":"{viewer_id}","session_id":"{session_id}",'
        f'"total":{recorded.total},"expires_at":{recorded.expires_at},'
        f'"next_heartbeat_ms":{wish_ms:.0f},"leave_token":"{token}"}}'
    ).encode()


async def heartbeats(request: Request) -> Response:
    """`POST /v1/heartbeats`: up to 1,000 of any courses; a result or a problem for each, in order."""
    service: Service = request.app.state.service
    value = body.parse(await body.read(request.scope, request.receive, cap=body.BATCH_CAP))
    items = value.get("heartbeats")
    if not isinstance(items, list) or not 1 <= len(items) <= BATCH:
        raise Invalid([("/heartbeats", f"must be a list of 1 to {BATCH} heartbeats")])
    results = await asyncio.gather(*(_one(service, item, index) for index, item in enumerate(items)))
    return Response(orjson.dumps({"results": results}), media_type="application/json")


async def _one(service: Service, item: Any, index: int) -> orjson.Fragment | dict[str, Any]:
    """One heartbeat of a batch; what is wrong with it is told in its place and spoils no other."""
    try:
        said = body.validate(CourseHeartbeat, item, "heartbeats", index)
        beat = Beat(said.course_id, viewer_of(said, "heartbeats", index), said)
        return orjson.Fragment(answer(service, beat, await service.presence.heartbeat(beat)))
    except PresenceError as error:
        return problem(error)
