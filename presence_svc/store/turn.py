"""A heartbeat and a leave on their way to Redis, and what Redis answered. Used by store.batch and by web."""

from __future__ import annotations

import zlib
from typing import Any, Generic, NamedTuple, TypeVar

from ..errors import PresenceError
from ..model import Heartbeat, Leave
from .keys import Keys
from .packed import number, words


class Beat(NamedTuple):
    """A heartbeat of `viewer_id` in `course_id`, on its way to Redis."""

    course_id: str
    viewer_id: str
    said: Heartbeat


class Departure(NamedTuple):
    """A leave of `viewer_id` from `course_id`, on its way to Redis."""

    course_id: str
    viewer_id: str
    said: Leave


class Ready:
    """All heartbeats of a session that say the same, packed but for their seq."""

    __slots__ = ("course_id", "head", "keys", "tail", "viewer_id")

    def __init__(self, keys: Keys, beat: Beat) -> None:
        said = beat.said
        self.course_id, self.viewer_id = course_id, viewer_id = beat.course_id, beat.viewer_id
        name, avatar = said.name or "", said.avatar_url or ""
        profile = f"{avatar}\n{name}"  # in this order: a checked address holds no newline, a name may
        digest = f"{zlib.crc32(profile.encode()):08x}" if name or avatar else "-"
        flags = ("h" if said.hidden else "-") + ("a" if said.anonymous else "-")
        self.keys = words(keys.viewer(course_id, viewer_id), keys.left(course_id, viewer_id))
        self.head = words(viewer_id, "s:" + said.session_id)
        self.tail = words(f"{flags} {digest} {said.chapter_id or ''}", profile)


Said = TypeVar("Said", bound=Ready)


class Turn(NamedTuple, Generic[Said]):
    """One heartbeat: a session's statement (web knows more of it than Ready), and its seq as it travels."""

    ready: Said
    seq: bytes


NO_SEQ = words("")


class Recorded(NamedTuple):
    """What Redis answered, times in ms by its clock; `expires_at` not after `as_of` = not present."""

    total: int
    expires_at: int
    as_of: int


Op = Turn[Any] | Departure
Result = Recorded | PresenceError


def turn(keys: Keys, beat: Beat) -> Turn[Ready]:
    """A heartbeat, packed."""
    return Turn(Ready(keys, beat), packed_seq(beat))


def packed_seq(beat: Beat) -> bytes:
    """The seq that a heartbeat was read with, as it travels."""
    seq = beat.said.seq
    return NO_SEQ if seq is None else number(seq)
