"""A lane without a server: what it makes of a body, and what a reading that remembers nothing makes of it.

Used by test_statements and test_bundle.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from presence_svc.auth.admission import Admission
from presence_svc.auth.joins import Joins
from presence_svc.auth.leave_token import LeaveTokens
from presence_svc.auth.rates import Rates
from presence_svc.auth.subject import named
from presence_svc.errors import PresenceError
from presence_svc.metrics import Metrics
from presence_svc.model import Heartbeat
from presence_svc.settings import Settings
from presence_svc.store.keys import Keys
from presence_svc.store.shared import Shared
from presence_svc.store.write import Beat, Recorded, Turn, turn
from presence_svc.web import body
from presence_svc.web.heartbeat import HeartbeatHandler
from presence_svc.web.heartbeat_cache import HeartbeatCache

KEYS = Keys("presence")
RECORDED = Recorded(3, 1_790_000_060_000, 1_790_000_000_000)
COURSE = "c1"
METRICS = Metrics()


class Meaning(NamedTuple):
    """All that a heartbeat comes to: what travels to Redis, and the reply but for its numbers."""

    keys: bytes
    head: bytes
    seq: bytes
    tail: bytes
    reply: bytes


class Desk:
    """A lane with everything that admission needs, and a secret that a test may change."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.shared = Shared(cast(Any, None), self.settings)
        self.shared.secret = b"s" * 32
        self.leave_tokens = LeaveTokens(self.shared)
        limits = Rates(self.settings)
        admission = Admission(
            self.settings,
            rates=limits,
            joins=Joins(cast(Any, SimpleNamespace()), limits),
            anonymous=cast(Any, None),
            leave_tokens=self.leave_tokens,
        )
        self.handler = HeartbeatHandler(self.settings)
        self.handler.service = cast(
            Any,
            SimpleNamespace(
                admission=admission,
                leave_tokens=self.leave_tokens,
                presence=SimpleNamespace(keys=KEYS),
                metrics=Metrics(),
            ),
        )

    @property
    def remembered(self) -> HeartbeatCache:
        return self.handler._statements

    def heard(self, content: bytes, authorization: bytes | None = None) -> Meaning | tuple[int, str]:
        """What the lane makes of a body: its meaning, or the status and the detail of the refusal."""
        try:
            admitted = self.handler.admit(authorization, "127.0.0.1", COURSE, content)
        except PresenceError as error:
            return error.status, error.detail
        assert isinstance(admitted, Turn)
        return meaning(admitted, admitted.ready.reply(RECORDED, 0))

    def read_afresh(self, content: bytes) -> Meaning | tuple[int, str]:
        """The same, by a reading that remembers nothing."""
        try:
            said = body.validate(Heartbeat, body.parse(content, METRICS))
            beat = Beat(COURSE, named(said), said)
        except PresenceError as error:
            return error.status, error.detail
        reply = self.handler.statement(beat).reply(RECORDED, 0)
        return meaning(turn(KEYS, beat), reply)


def meaning(turn: Turn[Any], reply: bytes) -> Meaning:
    """What this turn comes to, with its reply."""
    ready = turn.ready
    return Meaning(ready.keys, ready.head, turn.seq, ready.tail, reply)
