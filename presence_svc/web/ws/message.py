"""The messages that a client sends on a socket, as pydantic models. Used by join and session."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from ...model import Body, Chapters, Flag, Heartbeat, Id, Many, Order


class Join(Heartbeat):
    """A socket's first message: a heartbeat, with a token if one is needed, and what to send back."""

    token: Annotated[str, StringConstraints(max_length=8_192)] | None = None
    viewers: Many = Field(0, description="how many names to send")
    chapters: Chapters = Field("all", description="the chapters whose counts to send")
    order: Order = Field(
        "recent", description="joined: viewers who are shown stay shown while they are present"
    )


class Move(Body):
    """The viewer moves to another chapter; null = to none."""

    chapter_id: Id | None


class Visibility(Body):
    """The tab is hidden, or shown again."""

    hidden: Flag
