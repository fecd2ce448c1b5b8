"""Caches each session's last heartbeat, ready to be written again: usually only the seq differs.

Owned by web.heartbeat. Parsing and validating a body costs more than the rest of a heartbeat. A body that is
the same to the byte but for the digits of its seq, with the same credentials, means the same. Credentials and
rate limits are still checked every time. One entry per session, bounded; holds no bearer token.
"""

from __future__ import annotations

import random
import re

from ..auth.caller import Caller
from ..auth.leave_token import LeaveTokens
from ..auth.rates import Pace
from ..store.redis.resp import pack_digits
from ..store.write import NO_SEQ, HeartbeatResult, HeartbeatWrite

LONGEST = 3_072  # bytes of a body; longer ones are parsed every time
# An integer as JSON writes it, short enough to be exact (model.MAX_SAFE_INT).
SEQ = re.compile(rb'"seq": ?(0|[1-9][0-9]{0,14})(?=[,}])')


# A digest of the credentials, the course, and the body: in two parts without the digits of its seq between
# them, or whole if it has no seq. The two kinds are never equal.
BodyKey = tuple[bytes, str, bytes, bytes] | tuple[bytes, str, bytes]
Session = tuple[str, str, str]  # course, viewer, session


class CachedHeartbeat:
    """A session's write, the caller it was admitted for, and its reply except the numbers.

    `caller` is None if it must not be cached.
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
        # Ids contain nothing that JSON would escape (model.ID_PATTERN): the hottest path needs no encoder.
        self._before = (
            f'{{"course_id":"{course_id}","viewer_id":"{viewer_id}","session_id":"{session_id}","total":'
        ).encode()
        other = f',"pseudonym":"{pseudonym}"' if pseudonym else ""
        self._after = f',"leave_token":"{token}"{other}}}'.encode()

    def reply(self, result: HeartbeatResult, interval_ms: float) -> bytes:
        """The reply. The next heartbeat is due in HEARTBEAT_INTERVAL less 10 to 20 %, to spread crowds."""
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
    """The last heartbeats of `limit` sessions: about 2 KB each, up to 8 KB for the largest bodies."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._keys: dict[Session, Key] = {}  # the key of each session's entry

    def remember(self, key: BodyKey, content: bytes, cached: CachedHeartbeat) -> None:
        """Caches it, unless it has no caller, or the seq that was split off may not be the parsed one.

        A hit for a body without a split-off seq is written without one, so a parsed seq prevents caching.
        """
        if cached.caller is None or not _is_certain(key, content, cached.write.heartbeat.seq):
            return
        if len(content) > LONGEST:
            return
        self.keep(key, cached)

    def keep(self, key: Key, cached: CachedHeartbeat) -> None:
        """Caches it under a unique key, in place of its session's former entry. Drops the oldest if full."""
        before = self._keys.get(cached.session)
        if before is not None and before != key:
            self._forget(before)  # the token, chapter or name has changed: the old one will not return
        elif key not in self and len(self) >= self._limit:
            self._forget(next(iter(self)))
        self[key] = cached
        self._keys[cached.session] = key

    def clear(self) -> None:
        super().clear()
        self._keys.clear()

    def _forget(self, key: Key) -> None:
        del self._keys[self.pop(key).session]


def split_seq(credentials: bytes, course_id: str, content: bytes) -> tuple[BodyKey, bytes]:
    """A body's key, and its seq, RESP-encoded."""
    seq = SEQ.search(content)
    if seq is None:
        return (credentials, course_id, content), NO_SEQ
    start, end = seq.span(1)
    return (credentials, course_id, content[:start], content[end:]), pack_digits(content[start:end])


def _is_certain(key: BodyKey, content: bytes, seq: int | None) -> bool:
    """Whether the split-off seq is certainly the one that was parsed: the only "seq", without escapes."""
    has_seq = len(key) == 4
    if seq is None or not has_seq:
        return seq is None and not has_seq
    found = SEQ.search(content)
    return (
        found is not None and content.count(b'"seq"') == 1 and b"\\" not in content and int(found[1]) == seq
    )
