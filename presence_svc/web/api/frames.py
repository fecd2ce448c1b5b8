"""The messages of streams, sockets and the channel as pydantic models, for AsyncAPI and OpenAPI.

The service writes its frames with live.frame and without these models; tests check frames against them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ...model import Count, HeartbeatReply, Viewer
from ..ws.message import Join, Move, Visibility


class Told(BaseModel):
    """A message with exactly these fields."""

    model_config = ConfigDict(extra="forbid")


class CountEvent(Count, Told):
    """The complete count of a course at `as_of`; `chapters` are those that were asked for."""


class ViewersEvent(Told):
    """Some of the named viewers, and how many viewers there are in all."""

    course_id: str
    viewers: list[Viewer]
    total: int
    version: int


class RefusedEvent(Told):
    """A course of a catalogue that is left out (`what` is count) or sent without names (viewers), and why."""

    course_id: str
    what: Literal["count", "viewers"]
    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None


class PeopleEvent(Told):
    """Distinct viewers over all courses; if not `exact`, right within `bound_s` seconds."""

    people: int
    exact: bool
    bound_s: float | None
    as_of: int


class EndEvent(Told):
    """The stream ends: reconnect after the time in its retry field; after reauth with a new token."""


class ChannelMessage(Told):
    """A course's complete count after a change: each message replaces the one before."""

    type: Literal["count"]
    course_id: str
    total: int
    named: int
    anonymous: int
    chapters: dict[str, int]
    version: int
    as_of: int


class JoinedMessage(HeartbeatReply, Told):
    """The viewer is counted from now on, for as long as the socket is open."""

    type: Literal["joined"]


class CountMessage(CountEvent):
    """The same as the event, on a socket."""

    type: Literal["count"]


class ViewersMessage(ViewersEvent):
    """The same as the event, on a socket."""

    type: Literal["viewers"]


class ErrorMessage(Told):
    """What was wrong with the client's last message; `problem` is the type of RFC 9457."""

    type: Literal["error"]
    problem: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None
    retry_after_ms: int | None = None


class LeftMessage(Told):
    """Another request has ended the session: an eviction, or a leave by HTTP."""

    type: Literal["left"]


class ReauthMessage(Told):
    """The token has expired: the socket closes with 4401."""

    type: Literal["reauth"]


class ByeMessage(Told):
    """This replica shuts down, or the socket has reached its lifetime: reconnect after `retry_ms`."""

    type: Literal["bye"]
    retry_ms: int


class JoinMessage(Join):
    """A socket's first message: a heartbeat, with a token if one is needed, and what to send back."""

    type: Literal["join"]


class ChapterMessage(Move):
    """The viewer moves to another chapter; null = to none."""

    type: Literal["chapter"]


class HiddenMessage(Visibility):
    """The tab is hidden, or shown again."""

    type: Literal["hidden"]


class LeaveMessage(BaseModel):
    """The viewer leaves at once, and the socket closes."""

    type: Literal["leave"] = Field(description="has no other fields")


Kind = type[BaseModel]
EVENTS: dict[str, Kind] = {
    "count": CountEvent,
    "viewers": ViewersEvent,
    "refused": RefusedEvent,
    "people": PeopleEvent,
    "reauth": EndEvent,
    "bye": EndEvent,
}
ON_A_SOCKET: dict[str, Kind] = {
    "joined": JoinedMessage,
    "count": CountMessage,
    "viewers": ViewersMessage,
    "error": ErrorMessage,
    "left": LeftMessage,
    "reauth": ReauthMessage,
    "bye": ByeMessage,
}
BY_A_CLIENT: dict[str, Kind] = {
    "join": JoinMessage,
    "chapter": ChapterMessage,
    "hidden": HiddenMessage,
    "leave": LeaveMessage,
}
ON_THE_CHANNEL: dict[str, Kind] = {"count": ChannelMessage}
MODELS = tuple(
    {kind for table in (EVENTS, ON_A_SOCKET, BY_A_CLIENT, ON_THE_CHANNEL) for kind in table.values()}
)
