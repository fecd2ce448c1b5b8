"""Which courses, chapters and names a client asks for, in a query or a body.

Used by api, sse and ws. Raises Invalid, which names the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from pydantic import Field
from starlette.requests import HTTPConnection, Request

from ..errors import Invalid
from ..live.listener import Selection
from ..model import MAX_CHAPTERS_ASKED, MAX_VIEWERS, Body, Chapters, Id, Many, Order
from . import body
from .query import ID_SCHEMA, Ids, Whole
from .request import service_of

MAX_COURSES_ASKED = 500
BODY_CAP = 128 * 1024  # enough for 500 ids of the greatest length
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
    """`is_steady`: viewers who are shown by name stay shown while they are present."""

    courses: tuple[str, ...]
    chapters: Selection = None
    viewers: int = 0
    is_steady: bool = False


@dataclass(frozen=True, slots=True)
class ChaptersParameter:
    """`chapters=none`, `chapters=all` (the default) or ids, repeated or separated by commas."""

    name: str = "chapters"
    is_required: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": ID_SCHEMA, "maxItems": MAX_CHAPTERS_ASKED}

    def read(self, request: HTTPConnection) -> Selection:
        """Raises Invalid for too many or malformed ids."""
        listed = [name for value in request.query_params.getlist(self.name) for name in value.split(",")]
        if listed in ([], ["all"]):
            return None
        if listed == ["none"]:
            return frozenset()
        if len(listed) > MAX_CHAPTERS_ASKED:
            raise Invalid([("/chapters", f"must be none, all, or at most {MAX_CHAPTERS_ASKED} ids")])
        return frozenset(body.checked_id(name, f"/chapters/{i}") for i, name in enumerate(listed))


@dataclass(frozen=True, slots=True)
class OrderParameter:
    """Which names: of the viewers heard from most recently, or of those who joined, until they leave."""

    name: str = "order"
    is_required: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(ORDERS), "default": ORDERS[0]}

    def read(self, request: HTTPConnection) -> bool:
        """Whether viewers stay shown. Raises Invalid for another order."""
        order = request.query_params.get(self.name, ORDERS[0])
        if order not in ORDERS:
            raise Invalid([("/order", f"must be {' or '.join(ORDERS)}")])
        return order == "joined"


CHAPTERS, ORDER = ChaptersParameter(), OrderParameter()
VIEWERS = Whole("viewers", 0, MAX_VIEWERS, default=0)
STREAM_OPTIONS = (VIEWERS, CHAPTERS, ORDER)
COUNTED, STREAMED = Ids("course_id", most=200), Ids("course_id", most=100)


async def of_stream(request: Request) -> Wanted:
    """What a request for a catalogue's stream asks for."""
    if request.method == "POST":
        asked = await _read(request, Watch)
        courses = tuple(dict.fromkeys(asked.course_ids))
        return Wanted(courses, of(asked.chapters), asked.viewers, asked.order == "joined")
    return of_query(request, tuple(dict.fromkeys(STREAMED.read(request))))


async def of_counts(request: Request) -> Wanted:
    """What a request for counts asks for, in the order asked, duplicates included."""
    if request.method == "POST":
        asked = await _read(request, Courses)
        return Wanted(tuple(asked.course_ids), of(asked.chapters))
    return Wanted(tuple(COUNTED.read(request)), CHAPTERS.read(request))


def of_query(request: HTTPConnection, courses: tuple[str, ...]) -> Wanted:
    """What a query asks for, of these courses."""
    return Wanted(courses, CHAPTERS.read(request), VIEWERS.read(request), ORDER.read(request))


def of(chapters: Chapters) -> Selection:
    """The chapters that a body asks for."""
    if chapters == "all":
        return None
    return frozenset(() if chapters == "none" else chapters)


def trimmed(count: dict[str, Any], chapters: Selection) -> dict[str, Any]:
    """A Count with only these chapters."""
    if chapters is None:
        return count
    return {**count, "chapters": {name: n for name, n in count["chapters"].items() if name in chapters}}


async def _read(request: Request, kind: type[body.Model]) -> body.Model:
    service = service_of(request)
    raw = await body.read(
        request.scope, request.receive, cap=BODY_CAP, deadline_s=service.settings.request_deadline
    )
    return body.validate(kind, body.parse(raw, service.metrics))
