"""A heartbeat and a leave as they are written to Redis, and the result.

Made by auth.admission and web.api, kept by web.heartbeat_cache, recorded by store.recorder.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from ..errors import PresenceError
from ..model import Heartbeat, Leave
from .keys import Keys
from .redis.resp import NEWEST as NEWEST
from .redis.resp import pack, pack_int

NO_SEQ = pack("")


class HeartbeatWrite:
    """A heartbeat of `viewer_id` in `course_id`. Written again with another seq it is the session's next one.

    `take_over_from` is the anonymous viewer who may have had this session before it presented a token; ""
    if there is none, and after the take-over. `keys`, `head` and `tail` are RESP-encoded: all but the seq.
    """

    __slots__ = ("course_id", "head", "heartbeat", "keys", "tail", "take_over_from", "viewer_id")

    def __init__(
        self, course_id: str, viewer_id: str, heartbeat: Heartbeat, take_over_from: str = ""
    ) -> None:
        self.course_id, self.viewer_id, self.heartbeat = course_id, viewer_id, heartbeat
        self.take_over_from = take_over_from
        self.keys = b""  # encoded by the first call, because only store knows the names of keys
        name, avatar = heartbeat.name or "", heartbeat.avatar_url or ""
        profile = (
            f"{avatar}\n{name}"  # in this order, because a validated URL contains no newline and a name may
        )
        digest = f"{zlib.crc32(profile.encode()):08x}" if name or avatar else "-"
        flags = ("h" if heartbeat.hidden else "-") + ("a" if heartbeat.anonymous else "-")
        self.head = pack(viewer_id, "s:" + heartbeat.session_id)
        self.tail = pack(f"{flags} {digest} {heartbeat.chapter_id or ''}", profile)

    @property
    def seq(self) -> bytes:
        """The heartbeat's own seq, RESP-encoded."""
        return pack_seq(self.heartbeat.seq)

    def pack_keys(self, keys: Keys) -> bytes:
        """The viewer's keys, RESP-encoded, once."""
        course_id, viewer_id = self.course_id, self.viewer_id
        self.keys = pack(keys.viewer(course_id, viewer_id), keys.left(course_id, viewer_id))
        return self.keys


class LeaveWrite(NamedTuple):
    """A leave of `viewer_id` from `course_id`."""

    course_id: str
    viewer_id: str
    leave: Leave


class HeartbeatResult(NamedTuple):
    """The result of a heartbeat, times in ms by Redis's clock; `expires_at` <= `as_of` means not present.

    `seq` is the one that was assigned to a heartbeat sent as NEWEST.
    """

    total: int
    expires_at: int
    as_of: int
    seq: int = 0


WithSeq = tuple[HeartbeatWrite, bytes]  # a heartbeat and its RESP-encoded seq
Write = WithSeq | LeaveWrite
Outcome = HeartbeatResult | PresenceError


def pack_seq(seq: int | None) -> bytes:
    """Encodes a seq (RESP)."""
    return NO_SEQ if seq is None else pack_int(seq)
