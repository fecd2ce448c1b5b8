"""What a dashboard needs besides counts: the titles of courses, and which courses the caller may see."""

from __future__ import annotations

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from ...auth.caller import Caller, Role
from ...auth.roles import Action
from ...errors import Invalid, Unauthorized
from ..pages.titles import Title
from ..query import Ids, Text, Whole
from ..request import credentials, enter, json, service_of

COURSES = Ids("course_id", most=200, is_required=False)
SEARCH = Text("q")
LIMIT = Whole("limit", 1, 100, default=20)
LONGEST_SEARCH = 128


class Named(BaseModel):
    """By course; a course without a title is left out."""

    titles: dict[str, Title]


class Me(BaseModel):
    """The caller: their role, and the courses whose creator they are; null = any."""

    role: str
    courses: list[str] | None


async def titles(request: Request) -> Response:
    """`GET /v1/titles?course_id=a&course_id=b`, or `?q=` to search: the courses that have a title, by id."""
    found = service_of(request).titles
    text = SEARCH.read(request)
    if text is None:
        ids = COURSES.read(request)
        await enter(request, Action.COUNT, *ids)
        shown = await found.of(ids)
    else:
        await enter(request, Action.STATS)
        if len(text) > LONGEST_SEARCH:
            raise Invalid([("/q", f"must have at most {LONGEST_SEARCH} characters")])
        shown = await found.search(text, LIMIT.read(request))
    titles = {course: title.model_dump() for course, title in shown.items()}
    return json({"titles": titles}, {"cache-control": "private, no-cache"})


async def me(request: Request) -> Response:
    """`GET /v1/me`: the caller's role, and the courses whose creator they are; null = any."""
    caller = await service_of(request).admission.identify(*credentials(request.scope))
    if caller.role is Role.PUBLIC:
        raise Unauthorized("a bearer token is needed")
    return json({"role": caller.role.value, "courses": _own(caller)}, {"cache-control": "private, no-cache"})


def _own(caller: Caller) -> list[str] | None:
    if caller.role is Role.SERVICE:
        return None
    listed = caller.courses if caller.role is Role.CREATOR else caller.owned
    return None if listed is None else listed.split()
