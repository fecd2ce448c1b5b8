"""A heartbeat and a leave as they are written to Redis, and what Redis answered.

Made by auth.admission and web.api, kept by web.heartbeat_cache, recorded by store.recorder.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from ..errors import PresenceError
from ..model import Heartbeat, Leave
from .keys import Keys
from .redis.resp import pack, pack_int

NO_SEQ = pack("")
NEWEST = pack("+")  # newer than all that the session has said, also than its leave: it begins anew


class HeartbeatWrite:
    """A heartbeat of `viewer_id` in `course_id`. Written again with another seq it is the session's next one.

    `take_over_from` is the anonymous viewer whose this session was, perhaps, before it showed a token;
    "" for none, and once Redis has been told. `keys`, `head` and `tail` are what travels, but for the seq.
    """

    __slots__ = ("course_id", "head", "heartbeat", "keys", "tail", "take_over_from", "viewer_id")

    def __init__(
        self, course_id: str, viewer_id: str, heartbeat: Heartbeat, take_over_from: str = ""
    ) -> None:
        self.course_id, self.viewer_id, self.heartbeat = course_id, viewer_id, heartbeat
        self.take_over_from = take_over_from
        self.keys = b""  # packed by the first call that carries it: names of keys are the store's
        name, avatar = heartbeat.name or "", heartbeat.avatar_url or ""
        profile = f"{avatar}\n{name}"  # in this order: a checked address holds no newline, a name may
        digest = f"{zlib.crc32(profile.encode()):08x}" if name or avatar else "-"
        flags = ("h" if heartbeat.hidden else "-") + ("a" if heartbeat.anonymous else "-")
        self.head = pack(viewer_id, "s:" + heartbeat.session_id)
        self.tail = pack(f"{flags} {digest} {heartbeat.chapter_id or ''}", profile)

    @property
    def seq(self) -> bytes:
        """The seq that the heartbeat was read with, as it travels."""
        return pack_seq(self.heartbeat.seq)

    def pack_keys(self, keys: Keys) -> bytes:
        """The session's own keys as they travel, packed once."""
        course_id, viewer_id = self.course_id, self.viewer_id
        self.keys = pack(keys.viewer(course_id, viewer_id), keys.left(course_id, viewer_id))
        return self.keys


class LeaveWrite(NamedTuple):
    """A leave of `viewer_id` from `course_id`."""

    course_id: str
    viewer_id: str
    leave: Leave


class HeartbeatResult(NamedTuple):
    """What Redis answered, times in ms by its clock; `expires_at` not after `as_of` = not present.

    `seq` is the one that a heartbeat was given that was sent as the NEWEST.
    """

    total: int
    expires_at: int
    as_of: int
    seq: int = 0


WithSeq = tuple[HeartbeatWrite, bytes]  # one heartbeat, and its seq as it travels
Write = WithSeq | LeaveWrite
Outcome = HeartbeatResult | PresenceError


def pack_seq(seq: int | None) -> bytes:
    """A seq as it travels."""
    return NO_SEQ if seq is None else pack_int(seq)
