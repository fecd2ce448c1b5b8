"""Many heartbeats in one call, for services. A single one goes through web.lane."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..errors import Invalid, PresenceError
from ..model import CourseHeartbeat
from ..store.turn import Beat
from . import body
from .auth.roles import Action
from .auth.subject import named
from .lane import Lane
from .problems import problem
from .routes import enter

BATCH = 1000


async def heartbeat(request: Request) -> Response:
    """`POST /v1/courses/{course_id}/heartbeat` is web.door's: here so that other methods get a 405."""
    raise HTTPException(404)


async def heartbeats(request: Request) -> Response:
    """`POST /v1/heartbeats`: up to 1,000 of any courses; a result or a problem for each, in order."""
    lane: Lane = request.app.state.lane
    await enter(request, Action.BATCH)
    value = body.parse(await body.read(request.scope, request.receive, cap=body.BATCH_CAP))
    items = value.get("heartbeats")
    if not isinstance(items, list) or not 1 <= len(items) <= BATCH:
        raise Invalid([("/heartbeats", f"must be a list of 1 to {BATCH} heartbeats")])
    results = await asyncio.gather(*(_one(lane, item, index) for index, item in enumerate(items)))
    return Response(orjson.dumps({"results": results}), media_type="application/json")


async def _one(lane: Lane, item: Any, index: int) -> orjson.Fragment | dict[str, Any]:
    """One heartbeat of a batch; what is wrong with it is told in its place and spoils no other."""
    try:
        said = body.validate(CourseHeartbeat, item, "heartbeats", index)
        beat = Beat(said.course_id, named(said, "heartbeats", index), said)
        return orjson.Fragment(await lane.record(beat))
    except PresenceError as error:
        return problem(error)
