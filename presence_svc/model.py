"""What travels over HTTP and the channel, as pydantic models: they validate, and OpenAPI is made from them.

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
)

from .text import picture, shown

ID_PATTERN = r"^[A-Za-z0-9_.:@~|=+-]{1,128}$"
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
# A viewer as a page knows them: with AUTH=jwt it may be what the token says, which no id can hold.
ViewerName = Annotated[str, StringConstraints(min_length=1, max_length=1_024)]
MAX_SAFE_INT = 2**53 - 1
MAX_VIEWERS = 20  # names that a stream tells


def integral(value: Any) -> Any:
    """JSON has one number type: 2.0 is an integer there; true and "2" are not."""
    if isinstance(value, bool | str):
        raise ValueError("must be an integer")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _boolean(value: Any) -> Any:
    if value is not None and not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


Flag = Annotated[bool, BeforeValidator(_boolean)]
Seq = Annotated[Annotated[int, Field(ge=0, le=MAX_SAFE_INT)], BeforeValidator(integral)]
Name = Annotated[
    Annotated[str, StringConstraints(max_length=80, strip_whitespace=True)] | None,
    AfterValidator(lambda name: shown(name or "")),
]
AvatarUrl = Annotated[str, BeforeValidator(picture), StringConstraints(max_length=512)]


LeaveToken = Annotated[str, StringConstraints(max_length=512)]


class Body(BaseModel):
    """What a client sends; what it says beside is left aside."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Heartbeat(Body):
    """A session says: I am here. Its statement is whole: no `chapter_id` means in no chapter."""

    viewer_id: ViewerName | None = Field(
        None, description="the viewer: an id; with AUTH=jwt that of the token, or what its claim says"
    )
    session_id: Id = Field("main", description="one tab or device of the viewer")
    chapter_id: Id | None = None
    name: Name = Field(None, description="shown to others; absent, or nothing to be seen = as it was")
    avatar_url: AvatarUrl | None = Field(None, description="https only; absent = as it was")
    anonymous: Flag = Field(False, description="counted, never named")
    hidden: Flag = Field(False, description="the tab is hidden: its lease is longer")
    seq: Seq | None = Field(None, description="grows with all that the session says")
    leave_token: LeaveToken | None = Field(
        None, description="without a bearer token: whose session this was, before its viewer signed out"
    )


class CourseHeartbeat(Heartbeat):
    """One heartbeat of a batch: says its course too."""

    course_id: Id


class Leave(Body):
    """A session says: I am gone. `soft` = perhaps a reload: the lease is cut to LEAVE_GRACE."""

    viewer_id: ViewerName | None = None
    session_id: Id = "main"
    seq: Seq | None = None
    soft: Flag = False
    leave_token: LeaveToken | None = None
    anonymous: Flag = Field(False, description="said by a visitor who has no leave token yet")


MAX_CHAPTERS_ASKED = 100
Chapters = Literal["all", "none"] | Annotated[list[Id], Field(max_length=MAX_CHAPTERS_ASKED)]
Many = Annotated[Annotated[int, Field(ge=0, le=MAX_VIEWERS)], BeforeValidator(integral)]
Order = Literal["recent", "joined"]


class HeartbeatReply(BaseModel):
    """`expires_at` in ms since 1970 by Redis's clock; not after now = the session has left."""

    course_id: str
    viewer_id: str
    session_id: str
    total: int
    expires_at: int
    next_heartbeat_ms: int
    leave_token: str
    pseudonym: str | None = Field(None, description="with PSEUDONYMS: what others see as this viewer's id")


class Count(BaseModel):
    """The whole truth about a course at `as_of` (ms since 1970, Redis's clock)."""

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
    """Totals over all courses: `total` is the sum, with viewers of two courses twice; `people` are distinct.

    When these are not `exact`, they are right within `bound_s` seconds; null where they are not counted.
    `page` has the courses that were asked for, the busiest first, those of the past last; none = absent.
    `warming`: Redis has only begun, or a part of it, and what it says may be too low.
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
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None
