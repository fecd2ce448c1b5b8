"""What sessions have said before, ready to be written again: only the seq differs from the last.

Owned by web.heartbeat. Reading and judging a body costs more than all else in a heartbeat; one that was read
before, byte for byte but for the digits of its seq, under the same credentials, means the same. Credentials
are asked for and limits counted all the same, every time. One per session, bounded; holds no token.
"""

from __future__ import annotations

import random
import re

from ..auth.caller import Caller
from ..auth.leave_token import LeaveTokens
from ..auth.rates import Pace
from ..store.redis.resp import pack_digits
from ..store.write import NO_SEQ, HeartbeatResult, HeartbeatWrite

LONGEST = 3_072  # bytes of a body: longer ones are read anew each time
# Digits as JSON writes a whole number, few enough to be exact (model.MAX_SAFE_INT).
SEQ = re.compile(rb'"seq": ?(0|[1-9][0-9]{0,14})(?=[,}])')


# A body in two parts, without the digits of its seq between them; or a whole one without a seq: never equal.
# Before them: a digest of the credentials that it came with, and its course.
BodyKey = tuple[bytes, str, bytes, bytes] | tuple[bytes, str, bytes]
Session = tuple[str, str, str]  # course, viewer, session


class CachedHeartbeat:
    """A session's write, for whom it was admitted, and its reply but for the numbers.

    `caller` is None for one that may not be kept.
    """

    __slots__ = ("_after", "_before", "caller", "pace", "session", "write")

    def __init__(
        self,
        write: HeartbeatWrite,
        leave_tokens: LeaveTokens,
        *,
        caller: Caller | None = None,
        pace: Pace | None = None,
        pseudonym: str = "",
    ) -> None:
        course_id, viewer_id, session_id = write.course_id, write.viewer_id, write.heartbeat.session_id
        token = leave_tokens.make(course_id, viewer_id, session_id)
        self.write, self.caller, self.pace = write, caller, pace
        self.session: Session = (course_id, viewer_id, session_id)
        # Ids hold nothing that JSON would escape (model.ID_PATTERN): the hottest path needs no encoder.
        self._before = (
            f'{{"course_id":"{course_id}","viewer_id":"{viewer_id}","session_id":"{session_id}","total":'
        ).encode()
        other = f',"pseudonym":"{pseudonym}"' if pseudonym else ""
        self._after = f',"leave_token":"{token}"{other}}}'.encode()

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
    """What each of `room` sessions said last: about 2 KB each, up to 8 for bodies of the largest kind."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room
        self._keys: dict[Session, Key] = {}  # what each session is kept under

    def remember(self, key: BodyKey, content: bytes, cached: CachedHeartbeat) -> None:
        """Keeps it, unless nobody may be remembered, or the seq that was split off may not be the one read.

        A body without a seq to split off is sent on without one; if one was read in it, it is read again.
        """
        if cached.caller is None or not _is_certain(key, content, cached.write.heartbeat.seq):
            return
        if len(content) > LONGEST:
            return
        self.keep(key, cached)

    def keep(self, key: Key, cached: CachedHeartbeat) -> None:
        """Keeps it under a key that stands for nothing else, in place of what its session has said before.

        The oldest makes room.
        """
        before = self._keys.get(cached.session)
        if before is not None and before != key:
            self._forget(before)  # another token, chapter or name: that one is not said again
        elif key not in self and len(self) >= self._room:
            self._forget(next(iter(self)))
        self[key] = cached
        self._keys[cached.session] = key

    def clear(self) -> None:
        super().clear()
        self._keys.clear()

    def _forget(self, key: Key) -> None:
        del self._keys[self.pop(key).session]


def split_seq(credentials: bytes, course_id: str, content: bytes) -> tuple[BodyKey, bytes]:
    """A body's key, and its seq as it travels to Redis."""
    seq = SEQ.search(content)
    if seq is None:
        return (credentials, course_id, content), NO_SEQ
    start, end = seq.span(1)
    return (credentials, course_id, content[:start], content[end:]), pack_digits(content[start:end])


def _is_certain(key: BodyKey, content: bytes, seq: int | None) -> bool:
    """No second "seq" in the body, none written with an escape, and what was found is what was read."""
    has_seq = len(key) == 4
    if seq is None or not has_seq:
        return seq is None and not has_seq
    found = SEQ.search(content)
    return (
        found is not None and content.count(b'"seq"') == 1 and b"\\" not in content and int(found[1]) == seq
    )
