"""Which courses, chapters and names a client wants to hear of, by a query or a body.

Used by api, sse and ws. Refuses with Invalid, which names the field.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import Field
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection, Request

from ..errors import Invalid
from ..live.listener import Selection
from ..model import MAX_CHAPTERS_ASKED, MAX_VIEWERS, Body, Chapters, Id, Many, Order
from . import body
from .request import course_ids, service_of, whole

MAX_COURSES_ASKED = 500
BODY_CAP = 128 * 1024  # of 500 ids at their longest, with their quotes
ORDERS = ("recent", "joined")


class Courses(Body):
    """Whose counts are wanted, where a query would be too long."""

    course_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_COURSES_ASKED)]
    chapters: Chapters = "all"


class Watch(Courses):
    """What a stream is to tell."""

    viewers: Many = 0
    order: Order = "recent"


class Wanted(NamedTuple):
    """`is_steady`: who is shown by name stays so while they are there."""

    courses: tuple[str, ...]
    chapters: Selection = None
    viewers: int = 0
    is_steady: bool = False


async def of_stream(request: Request, limit: int) -> Wanted:
    """What a catalogue's stream is asked for: by GET up to `limit` courses, by POST what a body may list."""
    if request.method == "POST":
        said = await _read(request, Watch)
        return Wanted(
            tuple(dict.fromkeys(said.course_ids)), of(said.chapters), said.viewers, said.order == "joined"
        )
    return of_query(request, tuple(dict.fromkeys(course_ids(request, limit))))


async def of_counts(request: Request, limit: int) -> Wanted:
    """The same for counts, in the order asked, doubles and all."""
    if request.method == "POST":
        said = await _read(request, Courses)
        return Wanted(tuple(said.course_ids), of(said.chapters))
    return Wanted(tuple(course_ids(request, limit)), chapters_of(request.query_params))


def of_query(connection: HTTPConnection, courses: tuple[str, ...]) -> Wanted:
    """What the query wants of these courses."""
    query = connection.query_params
    order = query.get("order", "recent")
    if order not in ORDERS:
        raise Invalid([("/order", f"must be {' or '.join(ORDERS)}")])
    return Wanted(
        courses, chapters_of(query), whole(connection, "viewers", 0, 0, MAX_VIEWERS), order == "joined"
    )


def chapters_of(query: QueryParams) -> Selection:
    """`chapters=none`, `chapters=all` (the default) or ids, repeated or with commas between them."""
    listed = [name for value in query.getlist("chapters") for name in value.split(",")]
    if listed in ([], ["all"]):
        return None
    if listed in (["none"], [""]):
        return frozenset()
    if len(listed) > MAX_CHAPTERS_ASKED:
        raise Invalid([("/chapters", f"must be none, all, or at most {MAX_CHAPTERS_ASKED} ids")])
    return frozenset(body.checked_id(name, f"/chapters/{i}") for i, name in enumerate(listed))


def of(chapters: Chapters) -> Selection:
    """The same of a body."""
    if chapters == "all":
        return None
    return frozenset(() if chapters == "none" else chapters)


def trimmed(count: dict[str, Any], chapters: Selection) -> dict[str, Any]:
    """A Count with these of its chapters."""
    if chapters is None:
        return count
    return {**count, "chapters": {name: n for name, n in count["chapters"].items() if name in chapters}}


async def _read(request: Request, kind: type[body.Model]) -> body.Model:
    service = service_of(request)
    raw = await body.read(
        request.scope, request.receive, cap=BODY_CAP, deadline_s=service.settings.request_deadline
    )
    return body.validate(kind, body.parse(raw, service.metrics))
