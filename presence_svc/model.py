"""The data of the HTTP API and the channel, as pydantic models for validation and for OpenAPI.

Used by web (in and out), client and the command line. Refuses ids that could break out of a Redis key.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from .text import picture, shown

ID_PATTERN = r"^[A-Za-z0-9_.:@~|=+-]{1,128}$"
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
# A viewer as pages know them: with AUTH=jwt it may be the token's claim, which need not be a valid id.
ViewerName = Annotated[str, StringConstraints(min_length=1, max_length=1_024)]
MAX_SAFE_INT = 2**53 - 1
MAX_VIEWERS = 20  # names in a stream


def integral(value: Any) -> Any:
    """JSON has one number type: 2.0 counts as an integer; true and "2" do not."""
    if isinstance(value, bool | str):
        raise ValueError("must be an integer")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _boolean(value: Any) -> Any:
    if value is not None and not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _absent_is(default: Any) -> BeforeValidator:
    """null in an optional field is as if it were absent: some clients send it for whatever is not set."""
    return BeforeValidator(lambda value: default if value is None else value)


Flag = Annotated[bool, BeforeValidator(_boolean)]


def _or_null(**schema: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [schema, {"type": "null"}]})


Option = Annotated[Flag, _absent_is(False), _or_null(type="boolean")]
Session = Annotated[Id, _absent_is("main"), _or_null(type="string", pattern=ID_PATTERN)]
Seq = Annotated[Annotated[int, Field(ge=0, le=MAX_SAFE_INT)], BeforeValidator(integral)]
Name = Annotated[
    Annotated[str, StringConstraints(max_length=80, strip_whitespace=True)] | None,
    AfterValidator(lambda name: shown(name or "")),
]
AvatarUrl = Annotated[str, BeforeValidator(picture), StringConstraints(max_length=512)]


LeaveToken = Annotated[str, StringConstraints(max_length=512)]


class Body(BaseModel):
    """The body of a request; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Heartbeat(Body):
    """A session is present. The body describes it completely: no `chapter_id` means in no chapter."""

    viewer_id: ViewerName | None = Field(
        None, description="the viewer's id; with AUTH=jwt that of the token, or the value of its claim"
    )
    session_id: Session = Field("main", description="one tab or device of the viewer")
    chapter_id: Id | None = None
    name: Name = Field(None, description="shown to others; absent or blank = unchanged")
    avatar_url: AvatarUrl | None = Field(None, description="https only; absent = unchanged")
    anonymous: Option = Field(False, description="counted, never named")
    hidden: Option = Field(False, description="the tab is hidden: its lease is longer")
    seq: Seq | None = Field(None, description="increases with every message of the session")
    leave_token: LeaveToken | None = Field(
        None, description="without a bearer token: proves whose session this was before its viewer signed out"
    )


class CourseHeartbeat(Heartbeat):
    """One heartbeat of a batch, with its course."""

    course_id: Id


class Leave(Body):
    """A session leaves. `soft`: it may be a reload, so the lease is only shortened to LEAVE_GRACE."""

    viewer_id: ViewerName | None = None
    session_id: Session = "main"
    seq: Seq | None = None
    soft: Option = False
    leave_token: LeaveToken | None = None
    anonymous: Option = Field(False, description="set by a visitor who has no leave token yet")


MAX_CHAPTERS_ASKED = 100
Chapters = Literal["all", "none"] | Annotated[list[Id], Field(max_length=MAX_CHAPTERS_ASKED)]
Many = Annotated[Annotated[int, Field(ge=0, le=MAX_VIEWERS)], BeforeValidator(integral)]
Order = Literal["recent", "joined"]


class HeartbeatReply(BaseModel):
    """`expires_at` is in ms since 1970 by Redis's clock; not later than now = the session has left."""

    course_id: str
    viewer_id: str
    session_id: str
    total: int
    expires_at: int
    next_heartbeat_ms: int
    leave_token: str
    pseudonym: str | None = Field(None, description="with PSEUDONYMS: the id that others see for this viewer")


class Count(BaseModel):
    """The complete count of a course at `as_of` (ms since 1970, Redis's clock)."""

    course_id: str
    total: int
    named: int
    anonymous: int
    chapters: dict[str, int]
    version: int
    as_of: int
    warming: bool


class Counts(BaseModel):
    counts: list[Count]


class Viewer(BaseModel):
    """A named viewer in a roster."""

    viewer_id: str
    name: str | None
    avatar_url: str | None
    chapters: list[str]
    joined_at: int
    expires_at: int


class Roster(BaseModel):
    viewers: list[Viewer]
    total: int
    named: int
    anonymous: int
    next_cursor: str | None


class CourseTotal(BaseModel):
    course_id: str
    total: int


class Stats(BaseModel):
    """Totals over all courses: `total` counts a viewer of two courses twice, `people` only once.

    `people` is right within `bound_s` seconds if it is not `exact`; null if people are not counted. `page`
    has the courses asked for, the busiest first and idle ones last; null if none were asked for. `warming`:
    Redis, or a part of it, was started recently, and counts may be too low.
    """

    total: int
    courses: int
    top: list[CourseTotal]
    as_of: int
    warming: bool = False
    people: int | None = None
    exact: bool = True
    bound_s: float | None = None
    page: list[CourseTotal] | None = None
    next_cursor: str | None = None


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None
