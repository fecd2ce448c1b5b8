"""The plain HTTP routes: leave, count, viewers, evict and stats."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import blake2b
from typing import Any

import orjson
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Scope

from ..errors import Forbidden, Invalid
from ..model import Leave
from ..store.turn import Departure
from . import body
from .auth.caller import Caller, Role
from .auth.roles import Action
from .service import Service

COUNTS = 200


def json(value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), 200, headers, "application/json")


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def credentials(scope: Scope) -> tuple[bytes | None, str]:
    """What the gate asks for: the Authorization header, and the address for those who have none."""
    client = scope.get("client")
    return body.header(scope, b"authorization"), client[0] if client else ""


async def enter(request: Request, action: Action, *courses: str) -> Caller:
    """Who asks, if they may. Raises Unauthorized, Forbidden or Limited."""
    return await service_of(request).gate.enter(*credentials(request.scope), action, *courses)


def check_origin(request: Request) -> None:
    """For what changes something. Raises Forbidden for a page that may not."""
    request.app.state.lane.origins.check(body.headers(request.scope))


async def leave(request: Request) -> Response:
    """`POST /v1/courses/{course_id}/leave`: 204, also when nothing was there; a beacon sends text/plain."""
    check_origin(request)
    course_id = body.course_id(request.scope)
    service = service_of(request)
    raw = await body.read(
        request.scope,
        request.receive,
        cap=service.settings.body_limit,
        deadline_s=service.settings.request_deadline,
        media=body.JSON_OR_TEXT,
    )
    said = body.validate(Leave, body.parse(raw))
    viewer_id = await service.gate.leaver(*credentials(request.scope), course_id, said)
    await service.presence.leave(Departure(course_id, viewer_id, said))
    return Response(status_code=204)


async def count(request: Request) -> Response:
    """`GET /v1/courses/{course_id}/count`."""
    course_id = body.course_id(request.scope)
    await enter(request, Action.COUNT, course_id)
    return json((await service_of(request).presence.count(course_id)).__dict__)


async def counts(request: Request) -> Response:
    """`GET /v1/counts?course_id=a&course_id=b`: 304 while nothing has changed but the clock."""
    courses = course_ids(request, COUNTS)
    await enter(request, Action.COUNT, *courses)
    found = [count.__dict__ for count in await service_of(request).presence.counts(courses)]
    told = [{k: v for k, v in count.items() if k != "as_of"} for count in found]
    digest = blake2b(orjson.dumps(told), digest_size=12).digest()
    etag = f'W/"{urlsafe_b64encode(digest).decode()}"'
    headers = {"etag": etag, "cache-control": "private, no-cache"}
    if etag in _etags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return json({"counts": found}, headers)


def _etags(value: str) -> list[str]:
    """A weak comparison: proxies may have dropped or added the W/."""
    tags = [tag.strip() for tag in value.split(",")]
    return [tag if tag.startswith("W/") else f"W/{tag}" for tag in tags]


def course_ids(request: Request, limit: int) -> list[str]:
    """The courses in the query. Raises Invalid for none, too many, or ids that cannot be."""
    courses = request.query_params.getlist("course_id")
    if not 1 <= len(courses) <= limit:
        raise Invalid([("/course_id", f"give 1 to {limit} of them")])
    return [body.checked_id(course, f"/course_id/{i}") for i, course in enumerate(courses)]


def whole(request: HTTPConnection, name: str, default: int, low: int, high: int) -> int:
    """A whole number in the query. Raises Invalid outside of its range."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):
        raise Invalid([(f"/{name}", f"must be a whole number from {low} to {high}")])
    return int(text)


async def viewers(request: Request) -> Response:
    """`GET /v1/courses/{course_id}/viewers`: who is there, the most recently heard from first."""
    course_id, chapter = body.course_id(request.scope), request.query_params.get("chapter_id")
    service = service_of(request)
    caller = await enter(request, Action.VIEWERS, course_id)
    rosters = service.rosters if caller.role is Role.SERVICE else service.seen_rosters
    roster = await rosters.page(
        course_id,
        limit=whole(request, "limit", 20, 1, 100),
        cursor=request.query_params.get("cursor") or None,
        chapter_id=body.checked_id(chapter, "/chapter_id") if chapter is not None else "",
    )
    return json(roster.model_dump())


async def evict(request: Request) -> Response:
    """`DELETE /v1/courses/{course_id}/viewers/{viewer_id}`: 204."""
    check_origin(request)
    viewer_id = body.checked_id(request.path_params["viewer_id"], "/viewer_id")
    course_id = body.course_id(request.scope)
    caller = await enter(request, Action.EVICT, course_id)
    if caller.role is Role.VIEWER and caller.subject != viewer_id:
        raise Forbidden("a viewer may remove themselves only")
    await service_of(request).presence.evict(course_id, viewer_id)
    return Response(status_code=204)


async def stats(request: Request) -> Response:
    """`GET /v1/stats`: the sum over courses, the active ones, the busiest."""
    await enter(request, Action.STATS)
    return json((await service_of(request).totals.stats()).model_dump())
