"""The routes of courses: leave, count, viewers, evict and stats."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import blake2b

import orjson
from starlette.requests import Request
from starlette.responses import Response

from ...auth.caller import Role
from ...auth.roles import Action
from ...errors import Forbidden
from ...model import Leave
from ...store.write import LeaveWrite
from .. import body
from ..etag import is_known
from ..query import OneId, Text, Whole
from ..request import check_origin, credentials, enter, json, service_of
from ..selection import CHAPTERS, of_counts, trimmed

LIMIT = Whole("limit", 1, 100, default=20)
CURSOR = Text("cursor")
CHAPTER = OneId("chapter_id")
SEARCH = Text("q", most=128)
PAGE = Whole("limit", 1, 200, default=50)
BAN = Whole("ban", 0, 30 * 86_400, default=60)  # s; none given = PRESENCE_TTL


async def leave(request: Request) -> Response:
    """`POST /v1/courses/{course_id}/leave`: 204, even if there was no session; a beacon sends text/plain."""
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
    leaving = body.validate(Leave, body.parse(raw, service.metrics))
    viewer_id = await service.admission.leaver(*credentials(request.scope), course_id, leaving)
    await service.presence.leave(LeaveWrite(course_id, viewer_id, leaving))
    return Response(status_code=204)


async def count(request: Request) -> Response:
    """`GET /v1/courses/{course_id}/count`."""
    course_id = body.course_id(request.scope)
    chapters = CHAPTERS.read(request)
    await enter(request, Action.COUNT, course_id)
    return json(trimmed((await service_of(request).presence.count(course_id)).__dict__, chapters))


async def counts(request: Request) -> Response:
    """`GET /v1/counts?course_id=a&course_id=b`, or POST: 304 while none of what was asked for has changed."""
    courses, chapters, *_ = await of_counts(request)
    await enter(request, Action.COUNT, *courses)
    counted = await service_of(request).presence.counts(courses)
    found = [trimmed(count.__dict__, chapters) for count in counted]
    # The version changes with any chapter, so it must not count for clients that asked for some of them.
    ignored = ("as_of",) if chapters is None else ("as_of", "version")
    compared = [{k: v for k, v in count.items() if k not in ignored} for count in found]
    digest = blake2b(orjson.dumps(compared), digest_size=12).digest()
    etag = f'W/"{urlsafe_b64encode(digest).decode()}"'
    headers = {"etag": etag, "cache-control": "private, no-cache"}
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    return json({"counts": found}, headers)


async def viewers(request: Request) -> Response:
    """`GET /v1/courses/{course_id}/viewers`: the named viewers, the most recently heard from first."""
    course_id = body.course_id(request.scope)
    service = service_of(request)
    caller = await enter(request, Action.VIEWERS, course_id)
    rosters = service.rosters if caller.role is Role.SERVICE else service.public_rosters
    roster = await rosters.page(
        course_id,
        limit=LIMIT.read(request),
        cursor=CURSOR.read(request),
        chapter_id=CHAPTER.read(request) or "",
    )
    return json(roster.model_dump())


async def evict(request: Request) -> Response:
    """`DELETE /v1/courses/{course_id}/viewers/{viewer_id}?ban=60`: 204.

    The viewer is banned for so many seconds: by default for a TTL, and not at all if they remove themselves.
    A service that gives a time replaces an existing ban; otherwise a ban can only become longer.
    """
    check_origin(request)
    course_id, viewer_id = body.course_id(request.scope), request.path_params["viewer_id"]
    ban_s = BAN.read(request) if BAN.name in request.query_params else None
    service = service_of(request)
    caller = await enter(request, Action.EVICT, course_id)
    if caller.role is Role.VIEWER:
        if viewer_id not in (caller.subject, caller.claimed_id):
            raise Forbidden("a viewer may only remove themselves")
        await service.presence.evict(course_id, caller.subject, ban_s or 0)
    else:
        viewer_id = body.checked_id(viewer_id, "/viewer_id")
        lasts_s = service.settings.ttl if ban_s is None else ban_s
        await service.presence.evict(course_id, viewer_id, lasts_s, replaces_ban=ban_s is not None)
    return Response(status_code=204)


async def stats(request: Request) -> Response:
    """`GET /v1/stats`: totals, people, the busiest courses; with `q`, `limit` or `cursor` a page of them."""
    await enter(request, Action.STATS)
    totals = service_of(request).totals
    if not {"q", "limit", "cursor"} & request.query_params.keys():
        found = (await totals.stats()).model_dump(exclude={"page", "next_cursor"})
    else:
        text, cursor = SEARCH.read(request) or "", CURSOR.read(request)
        found = (await totals.search(text, PAGE.read(request), cursor)).model_dump()
    # The counts may be a moment old: they were warming when they were read, or the replica's state is now.
    return json(found | {"warming": found["warming"] or service_of(request).hub.warming})
