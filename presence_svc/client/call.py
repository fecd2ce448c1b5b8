"""Each call of the service as data: method, path, body, and how to parse its answer. Sends nothing.

Used by both clients, which differ only in how they wait. Raises ValueError for an invalid id or field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter

from ..model import (
    Count,
    Counts,
    CourseHeartbeat,
    Heartbeat,
    HeartbeatReply,
    Id,
    Leave,
    Problem,
    Roster,
    Stats,
)
from ..store.history.model import Calendar, ExportedRow, ExportPage, ExportRow, Heatmap, History, Step

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
HEARTBEATS_AT_ONCE = 1_000
COURSES_AT_ONCE = 500
Moment = datetime | int  # or ms since 1970
Params = Sequence[tuple[str, str]]
_id = TypeAdapter(Id)


class HeartbeatFields(TypedDict, total=False):
    """The fields of a heartbeat; model.Heartbeat describes them."""

    viewer_id: str
    session_id: str
    chapter_id: str
    name: str
    avatar_url: str
    anonymous: bool
    hidden: bool
    seq: int
    leave_token: str


class LeaveFields(TypedDict, total=False):
    """The fields of a leave; model.Leave describes them."""

    viewer_id: str
    session_id: str
    seq: int
    soft: bool
    leave_token: str


class Results(BaseModel):
    """The answer to a batch: for each heartbeat, in order, its reply or its problem."""

    results: list[HeartbeatReply | Problem]


class Answer(NamedTuple):
    """A successful answer: its body, and its headers by lower-case name."""

    content: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request to the service. `read` parses the answer into the call's result."""

    method: str
    path: str
    read: Callable[[Answer], T]
    params: Params = ()
    body: Mapping[str, Any] | None = field(default=None, repr=False)


def heartbeat(course_id: str, fields: Mapping[str, Any]) -> Call[HeartbeatReply]:
    body = _said(Heartbeat.model_validate(fields, extra="forbid"))
    return Call("POST", f"{course_path(course_id)}/heartbeat", _json(HeartbeatReply), body=body)


def heartbeats(batch: Sequence[CourseHeartbeat]) -> Call[list[HeartbeatReply | Problem]]:
    body = {"heartbeats": [_said(one) for one in batch]}
    return Call("POST", "/v1/heartbeats", lambda answer: _json(Results)(answer).results, body=body)


def leave(course_id: str, fields: Mapping[str, Any]) -> Call[None]:
    body = _said(Leave.model_validate(fields, extra="forbid"))
    return Call("POST", f"{course_path(course_id)}/leave", _nothing, body=body)


def count(course_id: str) -> Call[Count]:
    return Call("GET", f"{course_path(course_id)}/count", _json(Count))


def counts(course_ids: Sequence[str]) -> Call[list[Count]]:
    body = {"course_ids": [_id.validate_python(one) for one in course_ids]}
    return Call("POST", "/v1/counts", lambda answer: _json(Counts)(answer).counts, body=body)


def viewers(course_id: str, limit: int, cursor: str | None, chapter_id: str | None) -> Call[Roster]:
    params = _params(limit=limit, cursor=cursor, chapter_id=chapter_id)
    return Call("GET", f"{course_path(course_id)}/viewers", _json(Roster), params)


def evict(course_id: str, viewer_id: str, ban_s: int | None) -> Call[None]:
    path = f"{course_path(course_id)}/viewers/{_segment(viewer_id)}"
    return Call("DELETE", path, _nothing, _params(ban=ban_s))


def stats(search: str | None, limit: int | None, cursor: str | None) -> Call[Stats]:
    return Call("GET", "/v1/stats", _json(Stats), _params(q=search, limit=limit, cursor=cursor))


def history(
    course_id: str, step: Step, begin: Moment | None, end: Moment | None, chapter_id: str | None, tz: str
) -> Call[History]:
    params = _params(step=step, **{"from": _ms(begin)}, to=_ms(end), chapter_id=chapter_id, tz=tz)
    return Call("GET", f"{course_path(course_id)}/history", _json(History), params)


def calendar(course_id: str, weeks: int, tz: str) -> Call[Calendar]:
    params = _params(weeks=weeks, tz=tz)
    return Call("GET", f"{course_path(course_id)}/history/calendar", _json(Calendar), params)


def heatmap(course_id: str, begin: Moment | None, end: Moment | None, limit: int, tz: str) -> Call[Heatmap]:
    params = _params(**{"from": _ms(begin)}, to=_ms(end), limit=limit, tz=tz)
    return Call("GET", f"{course_path(course_id)}/history/heatmap", _json(Heatmap), params)


def export(cursor: str | None, limit: int) -> Call[ExportPage]:
    return Call("GET", "/v1/history/export", _export_page, _params(cursor=cursor, limit=limit))


def exported(page: ExportPage, begin: str | None) -> Iterator[ExportedRow]:
    """Adds a cursor to each row: before the page's last row it is the page's own, then that of the next."""
    for left, row in zip(reversed(range(len(page.rows))), page.rows, strict=True):
        yield ExportedRow(**dict(row), cursor=begin if left else page.cursor)


def parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Splits items into lists of at most `size`, for several calls."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _nothing(_: Answer) -> None:
    return None


def _json(model: type[M]) -> Callable[[Answer], M]:
    return lambda answer: model.model_validate_json(answer.content)


def _export_page(answer: Answer) -> ExportPage:
    rows = [ExportRow.model_validate_json(line) for line in answer.content.splitlines()]
    return ExportPage.model_validate({"rows": rows, "cursor": answer.headers.get("presence-cursor")})


def _said(body: BaseModel) -> dict[str, Any]:
    return body.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def course_path(course_id: str) -> str:
    """The beginning of all paths of a course. Raises ValueError for an invalid id."""
    return f"/v1/courses/{_segment(_id.validate_python(course_id))}"


def _segment(text: str) -> str:
    """Encodes an id as one segment of a path, even if it is `..`."""
    if not text:
        raise ValueError("an id must not be empty")
    return quote(text, safe="") if text.strip(".") else "%2E" * len(text)


def _params(**given: object) -> Params:
    return [(name, str(value)) for name, value in given.items() if value is not None]


def _ms(moment: Moment | None) -> int | None:
    """ms since 1970. Raises ValueError for a datetime without a zone: it would depend on the machine."""
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError("a datetime must have a time zone")
        return round(moment.timestamp() * 1000)
    return moment
