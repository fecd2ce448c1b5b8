"""The heartbeat handler without a server, beside a reading of the same body that remembers nothing.

`holds_for` tries a property with few examples, and with many in the slow suite.

Used by test_heartbeat_cache and test_batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar, cast

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

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
from presence_svc.store.write import HeartbeatResult, HeartbeatWrite
from presence_svc.web import body
from presence_svc.web.heartbeat import HeartbeatHandler
from presence_svc.web.heartbeat_cache import CachedHeartbeat, HeartbeatCache

KEYS = Keys("presence")
MANY = pytest.param(800, marks=[pytest.mark.slow, pytest.mark.timeout(150)])
FEW_AND_MANY = pytest.mark.parametrize("examples", [120, MANY])
RECORDED = HeartbeatResult(3, 1_790_000_060_000, 1_790_000_000_000)
COURSE = "c1"
METRICS = Metrics()
Drawn = TypeVar("Drawn")


def holds_for(
    check: Callable[[Drawn], None], drawn: st.SearchStrategy[Drawn], examples: int, *always: Drawn
) -> None:
    """Tries a property with so many examples, and with these each time."""
    tried = given(drawn)(check)
    for one in always:
        tried = example(one)(tried)
    hypothesis_settings(max_examples=examples, deadline=None)(tried)()


class Meaning(NamedTuple):
    """All that a heartbeat comes to: what travels to Redis, and the reply but for its numbers."""

    keys: bytes
    head: bytes
    seq: bytes
    tail: bytes
    reply: bytes


@lru_cache
def _settings(**settings: Any) -> Settings:
    """Read once: it takes longer than most of what a property test does with a rig."""
    return Settings(**settings)


class HandlerRig:
    """A handler with everything that admission needs, and a secret that a test may change."""

    def __init__(self, **settings: Any) -> None:
        self.settings = _settings(**settings)
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
                metrics=METRICS,
                public_rosters=SimpleNamespace(alias=lambda course_id, viewer_id: ""),
            ),
        )

    @property
    def remembered(self) -> HeartbeatCache:
        return self.handler._cache

    def heard(self, content: bytes, authorization: bytes | None = None) -> Meaning | tuple[int, str]:
        """What the handler makes of a body: its meaning, or the status and the detail of the refusal."""
        try:
            admitted = self.handler.admit(authorization, "127.0.0.1", COURSE, content)
        except PresenceError as error:
            return error.status, error.detail
        assert isinstance(admitted, tuple)
        return meaning(*admitted)

    def read_afresh(self, content: bytes) -> Meaning | tuple[int, str]:
        """The same, by a reading that remembers nothing."""
        try:
            said = body.validate(Heartbeat, body.parse(content, METRICS))
            write = HeartbeatWrite(COURSE, named(said), said)
        except PresenceError as error:
            return error.status, error.detail
        return meaning(self.handler.prepare(write), write.seq)


def meaning(cached: CachedHeartbeat, seq: bytes) -> Meaning:
    """What this heartbeat comes to, with its reply."""
    write = cached.write
    return Meaning(write.pack_keys(KEYS), write.head, seq, write.tail, cached.reply(RECORDED, 0))
