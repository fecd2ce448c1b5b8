"""What sessions have said before, ready to be said again: a heartbeat differs from the last in its seq alone.

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
from ..store.keys import Keys
from ..store.redis.resp import made
from ..store.write import NO_SEQ, Beat, Ready, Recorded, Turn, packed_seq

CAP = 3_072  # bytes of a body and of the credentials that it came with: longer ones are read anew
# Digits as JSON writes a whole number, few enough to be exact (model.MAX_SAFE_INT).
SEQ = re.compile(rb'"seq": ?(0|[1-9][0-9]{0,14})(?=[,}])')


class Shape(NamedTuple):
    """A body without the digits of its seq, and under whose credentials it came for which course."""

    authorization: bytes | None
    course_id: str
    body: bytes
    has_seq: bool


class Statement(Ready):
    """A heartbeat's reading: for whom it was judged, its packed form, its reply but for the numbers."""

    __slots__ = ("_after", "_before", "beat", "caller", "pace")

    def __init__(
        self,
        beat: Beat,
        keys: Keys,
        leave_tokens: LeaveTokens,
        *,
        caller: Caller | None = None,
        pace: Pace | None = None,
    ) -> None:
        super().__init__(keys, beat)
        course_id, viewer_id, session_id = beat.course_id, beat.viewer_id, beat.said.session_id
        token = leave_tokens.make(course_id, viewer_id, session_id)
        self.beat, self.caller, self.pace = beat, caller, pace
        # Ids hold nothing that JSON would escape (model.ID_PATTERN): the hottest path needs no encoder.
        self._before = (
            f'{{"course_id":"{course_id}","viewer_id":"{viewer_id}","session_id":"{session_id}","total":'
        ).encode()
        self._after = f',"leave_token":"{token}"}}'.encode()

    def turn(self) -> Turn[Statement]:
        """The heartbeat with the seq that it was read with."""
        return Turn(self, packed_seq(self.beat))

    def reply(self, recorded: Recorded, interval_ms: float) -> bytes:
        """The next is due in HEARTBEAT_INTERVAL less 10 to 20 %, so that no crowd beats in step."""
        return b'%b%d,"expires_at":%d,"next_heartbeat_ms":%d%b' % (
            self._before,
            recorded.total,
            recorded.expires_at,
            interval_ms * (0.9 - 0.1 * random.random()),
            self._after,
        )


Key = Shape | bytes | tuple[bytes, ...]  # a whole body's; or an item's of many, as web.api.batch cuts them


class HeartbeatCache(dict[Key, Statement]):
    """The statements of the last `room` sessions: about 2 KB each, up to 8 for bodies of the largest kind."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def remember(self, shape: Shape, content: bytes, statement: Statement, seq: int | None) -> None:
        """Keeps it, unless nobody may be remembered, or the seq that was cut out may not be the one read.

        A body without a cut is sent on without a seq: one that was read there must be read again.
        """
        if statement.caller is None or not _is_certain(shape, content, seq):
            return
        if len(content) + len(shape.authorization or b"") > CAP:
            return
        self.keep(shape, statement)

    def keep(self, key: Key, statement: Statement) -> None:
        """Keeps it under a key that stands for nothing else; the oldest makes room."""
        if key not in self and len(self) >= self._room:
            del self[next(iter(self))]
        self[key] = statement


def cut(authorization: bytes | None, course_id: str, content: bytes) -> tuple[Shape, bytes]:
    """A body's shape, and its seq as it travels to Redis."""
    seq = SEQ.search(content)
    if seq is None:
        return Shape(authorization, course_id, content, False), NO_SEQ
    start, end = seq.span(1)
    digits = content[start:end]
    shape = made(Shape, (authorization, course_id, content[:start] + content[end:], True))
    return shape, b"$%d\r\n%b\r\n" % (end - start, digits)


def _is_certain(shape: Shape, content: bytes, seq: int | None) -> bool:
    """No second "seq" in the body, none written with an escape, and what was found is what was read."""
    if seq is None or not shape.has_seq:
        return seq is None and not shape.has_seq
    found = SEQ.search(content)
    return (
        found is not None and content.count(b'"seq"') == 1 and b"\\" not in content and int(found[1]) == seq
    )
