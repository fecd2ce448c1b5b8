"""A heartbeat and a leave on their way to Redis, and what Redis answered. Used by store.calls and by web."""

from __future__ import annotations

import zlib
from typing import Any, Generic, NamedTuple, TypeVar

from ..errors import PresenceError
from ..model import Heartbeat, Leave
from .keys import Keys
from .redis.resp import number, words


class Beat(NamedTuple):
    """A heartbeat of `viewer_id` in `course_id`, on its way to Redis.

    `former` is the anonymous viewer whom this session was, perhaps, before it showed a token.
    """

    course_id: str
    viewer_id: str
    said: Heartbeat
    former: str = ""


class Departure(NamedTuple):
    """A leave of `viewer_id` from `course_id`, on its way to Redis."""

    course_id: str
    viewer_id: str
    said: Leave


class Ready:
    """All heartbeats of a session that say the same, packed but for their seq.

    `succession` is set until Redis has been told, once, that the session was its `former`'s.
    """

    __slots__ = ("course_id", "head", "keys", "succession", "tail", "viewer_id")

    def __init__(self, keys: Keys, beat: Beat) -> None:
        said = beat.said
        self.course_id, self.viewer_id = course_id, viewer_id = beat.course_id, beat.viewer_id
        self.succession = beat if beat.former else None
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
FRESH = words("+")  # newer than all that the session has said, also than its leave: it begins anew


class Recorded(NamedTuple):
    """What Redis answered, times in ms by its clock; `expires_at` not after `as_of` = not present.

    `seq` is the one that a FRESH heartbeat was given.
    """

    total: int
    expires_at: int
    as_of: int
    seq: int = 0


Op = Turn[Any] | Departure
Result = Recorded | PresenceError


def turn(keys: Keys, beat: Beat) -> Turn[Ready]:
    """A heartbeat, packed."""
    return Turn(Ready(keys, beat), packed_seq(beat))


def packed_seq(beat: Beat) -> bytes:
    """The seq that a heartbeat was read with, as it travels."""
    seq = beat.said.seq
    return NO_SEQ if seq is None else number(seq)
