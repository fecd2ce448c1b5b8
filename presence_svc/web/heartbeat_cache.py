"""What sessions have said before, ready to be written again: only the seq differs from the last.

Owned by web.heartbeat. Reading and judging a body costs more than all else in a heartbeat; one that was read
before, byte for byte but for the digits of its seq, under the same credentials, means the same. Credentials
are asked for and limits counted all the same, every time. Bounded; the oldest go first.
"""

from __future__ import annotations

import random
import re
from typing import NamedTuple

from ..auth.caller import Caller
from ..auth.leave_token import LeaveTokens
from ..auth.rates import Pace
from ..store.redis.resp import new_tuple, pack_digits
from ..store.write import NO_SEQ, HeartbeatResult, HeartbeatWrite

LONGEST = 3_072  # bytes of a body and of the credentials that it came with: longer ones are read anew
# Digits as JSON writes a whole number, few enough to be exact (model.MAX_SAFE_INT).
SEQ = re.compile(rb'"seq": ?(0|[1-9][0-9]{0,14})(?=[,}])')


class BodyKey(NamedTuple):
    """A body without the digits of its seq, and under whose credentials it came for which course."""

    authorization: bytes | None
    course_id: str
    body: bytes
    has_seq: bool


class CachedHeartbeat:
    """A session's write, for whom it was admitted, and its reply but for the numbers.

    `caller` is None for one that may not be kept.
    """

    __slots__ = ("_after", "_before", "caller", "pace", "write")

    def __init__(
        self,
        write: HeartbeatWrite,
        leave_tokens: LeaveTokens,
        *,
        caller: Caller | None = None,
        pace: Pace | None = None,
    ) -> None:
        course_id, viewer_id, session_id = write.course_id, write.viewer_id, write.heartbeat.session_id
        token = leave_tokens.make(course_id, viewer_id, session_id)
        self.write, self.caller, self.pace = write, caller, pace
        # Ids hold nothing that JSON would escape (model.ID_PATTERN): the hottest path needs no encoder.
        self._before = (
            f'{{"course_id":"{course_id}","viewer_id":"{viewer_id}","session_id":"{session_id}","total":'
        ).encode()
        self._after = f',"leave_token":"{token}"}}'.encode()

    def reply(self, result: HeartbeatResult, interval_ms: float) -> bytes:
        """The next is due in HEARTBEAT_INTERVAL less 10 to 20 %, so that no crowd beats in step."""
        return b'%b%d,"expires_at":%d,"next_heartbeat_ms":%d%b' % (
            self._before,
            result.total,
            result.expires_at,
            interval_ms * (0.9 - 0.1 * random.random()),
            self._after,
        )


Key = (
    BodyKey | bytes | tuple[bytes, ...]
)  # a whole body's; or an item's of many, as web.api.batch splits them


class HeartbeatCache(dict[Key, CachedHeartbeat]):
    """The heartbeats of the last `room` sessions: about 2 KB each, up to 8 for bodies of the largest kind."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def remember(self, key: BodyKey, content: bytes, cached: CachedHeartbeat) -> None:
        """Keeps it, unless nobody may be remembered, or the seq that was split off may not be the one read.

        A body without a seq to split off is sent on without one; if one was read in it, it is read again.
        """
        if cached.caller is None or not _is_certain(key, content, cached.write.heartbeat.seq):
            return
        if len(content) + len(key.authorization or b"") > LONGEST:
            return
        self.keep(key, cached)

    def keep(self, key: Key, cached: CachedHeartbeat) -> None:
        """Keeps it under a key that stands for nothing else; the oldest makes room."""
        if key not in self and len(self) >= self._room:
            del self[next(iter(self))]
        self[key] = cached


def split_seq(authorization: bytes | None, course_id: str, content: bytes) -> tuple[BodyKey, bytes]:
    """A body's key, and its seq as it travels to Redis."""
    seq = SEQ.search(content)
    if seq is None:
        return BodyKey(authorization, course_id, content, False), NO_SEQ
    start, end = seq.span(1)
    key = new_tuple(BodyKey, (authorization, course_id, content[:start] + content[end:], True))
    return key, pack_digits(content[start:end])


def _is_certain(key: BodyKey, content: bytes, seq: int | None) -> bool:
    """No second "seq" in the body, none written with an escape, and what was found is what was read."""
    if seq is None or not key.has_seq:
        return seq is None and not key.has_seq
    found = SEQ.search(content)
    return (
        found is not None and content.count(b'"seq"') == 1 and b"\\" not in content and int(found[1]) == seq
    )
