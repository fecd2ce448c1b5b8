"""Each call of the service as data: method, path, body, and how its answer is read. Sends nothing.

Used by both clients, which differ only in how they wait. Raises ValueError for what can be no id or field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Generic, TypedDict, TypeVar
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
from ..store.history.model import Calendar, Heatmap, History, Step

T = TypeVar("T")
HEARTBEATS_AT_ONCE = 1_000
COURSES_AT_ONCE = 500
Moment = datetime | int  # or ms since 1970
Params = Sequence[tuple[str, str]]
_id = TypeAdapter(Id)


class HeartbeatFields(TypedDict, total=False):
    """What a heartbeat may say; model.Heartbeat says what each means."""

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
    """What a leave may say."""

    viewer_id: str
    session_id: str
    seq: int
    soft: bool
    leave_token: str


class Results(BaseModel):
    """What a batch is told: for each heartbeat, in order, its reply or its problem."""

    results: list[HeartbeatReply | Problem]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One exchange with the service. `read` makes of the answer's body what the caller gets."""

    method: str
    path: str
    read: Callable[[bytes], T]
    params: Params = ()
    body: Mapping[str, Any] | None = field(default=None, repr=False)


def heartbeat(course_id: str, fields: Mapping[str, Any]) -> Call[HeartbeatReply]:
    body = _said(Heartbeat.model_validate(fields, extra="forbid"))
    return Call("POST", f"{_course(course_id)}/heartbeat", HeartbeatReply.model_validate_json, body=body)


def heartbeats(batch: Sequence[CourseHeartbeat]) -> Call[list[HeartbeatReply | Problem]]:
    body = {"heartbeats": [_said(one) for one in batch]}
    return Call("POST", "/v1/heartbeats", lambda raw: Results.model_validate_json(raw).results, body=body)


def leave(course_id: str, fields: Mapping[str, Any]) -> Call[None]:
    body = _said(Leave.model_validate(fields, extra="forbid"))
    return Call("POST", f"{_course(course_id)}/leave", _nothing, body=body)


def count(course_id: str) -> Call[Count]:
    return Call("GET", f"{_course(course_id)}/count", Count.model_validate_json)


def counts(course_ids: Sequence[str]) -> Call[list[Count]]:
    body = {"course_ids": [_id.validate_python(one) for one in course_ids]}
    return Call("POST", "/v1/counts", lambda raw: Counts.model_validate_json(raw).counts, body=body)


def viewers(course_id: str, limit: int, cursor: str | None, chapter_id: str | None) -> Call[Roster]:
    params = _params(limit=limit, cursor=cursor, chapter_id=chapter_id)
    return Call("GET", f"{_course(course_id)}/viewers", Roster.model_validate_json, params)


def evict(course_id: str, viewer_id: str, ban_s: int | None) -> Call[None]:
    path = f"{_course(course_id)}/viewers/{_segment(viewer_id)}"
    return Call("DELETE", path, _nothing, _params(ban=ban_s))


def stats(search: str | None, limit: int | None, cursor: str | None) -> Call[Stats]:
    return Call("GET", "/v1/stats", Stats.model_validate_json, _params(q=search, limit=limit, cursor=cursor))


def history(
    course_id: str, step: Step, begin: Moment | None, end: Moment | None, chapter_id: str | None, tz: str
) -> Call[History]:
    params = _params(step=step, **{"from": _ms(begin)}, to=_ms(end), chapter_id=chapter_id, tz=tz)
    return Call("GET", f"{_course(course_id)}/history", History.model_validate_json, params)


def calendar(course_id: str, weeks: int, tz: str) -> Call[Calendar]:
    params = _params(weeks=weeks, tz=tz)
    return Call("GET", f"{_course(course_id)}/history/calendar", Calendar.model_validate_json, params)


def heatmap(course_id: str, begin: Moment | None, end: Moment | None, limit: int, tz: str) -> Call[Heatmap]:
    params = _params(**{"from": _ms(begin)}, to=_ms(end), limit=limit, tz=tz)
    return Call("GET", f"{_course(course_id)}/history/heatmap", Heatmap.model_validate_json, params)


def parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """What is too much for one call, as several."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _nothing(_: bytes) -> None:
    return None


def _said(body: BaseModel) -> dict[str, Any]:
    return body.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def _course(course_id: str) -> str:
    return f"/v1/courses/{_segment(_id.validate_python(course_id))}"


def _segment(text: str) -> str:
    """One part of a path, whatever it is made of; a course may be called `..`."""
    if not text:
        raise ValueError("an id must not be empty")
    return quote(text, safe="") if text.strip(".") else "%2E" * len(text)


def _params(**given: object) -> Params:
    return [(name, str(value)) for name, value in given.items() if value is not None]


def _ms(moment: Moment | None) -> int | None:
    """Raises ValueError for a time without a zone: it would mean another moment on another machine."""
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError("a datetime must have a time zone")
        return round(moment.timestamp() * 1000)
    return moment
