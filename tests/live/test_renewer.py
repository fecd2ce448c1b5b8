"""Leases of open sockets: renewed in time, together, until released; what fails is tried again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, cast

import pytest

from presence_svc.errors import Unavailable
from presence_svc.live.renewer import Renewer
from presence_svc.model import Heartbeat
from presence_svc.settings import load
from presence_svc.store.presence import Presence
from presence_svc.store.write import HeartbeatResult, HeartbeatWrite, Outcome
from tests.live.eventually import eventually

INTERVAL_S = 0.3
RENEWED, LEFT = HeartbeatResult(1, 2_000, 1_000), HeartbeatResult(0, 1_000, 1_000)


class PresenceStub:
    """Stands where Presence is: answers with `result`, or raises it, and remembers when it was asked."""

    def __init__(self) -> None:
        self.result: Outcome = RENEWED
        self.is_full = False
        self.asked: list[tuple[float, str]] = []

    def post(self, write: HeartbeatWrite, seq: bytes, done: Callable[[Outcome], None]) -> None:
        self.asked.append((asyncio.get_running_loop().time(), write.viewer_id))
        if self.is_full:
            raise Unavailable("too many requests are waiting for Redis")
        asyncio.get_running_loop().call_soon(done, self.result)

    def of(self, name: str) -> list[float]:
        return [at for at, asked in self.asked if asked == name]


@pytest.fixture
def presence() -> PresenceStub:
    return PresenceStub()


@pytest.fixture
async def renewer(presence: PresenceStub) -> AsyncIterator[Renewer]:
    made = Renewer(cast(Presence, presence), load(heartbeat_interval=INTERVAL_S))
    made.start()
    yield made
    await made.stop()


def write(name: str) -> HeartbeatWrite:
    return HeartbeatWrite("c1", name, Heartbeat())


def nothing() -> None:
    raise AssertionError("nobody has left")


async def test_a_lease_is_renewed_as_often_as_a_player_would(
    presence: PresenceStub, renewer: Renewer
) -> None:
    """After 0.8 to 0.9 of the interval and at most a tenth more, again and again."""
    began = asyncio.get_running_loop().time()
    renewer.hold(write("ada"), b"", nothing)
    await eventually("three renewals", lambda: len(presence.of("ada")) >= 3)

    times = [began, *presence.of("ada")]
    assert all(after - before >= INTERVAL_S * 0.8 for before, after in itertools.pairwise(times))


async def test_what_is_said_now_is_renewed(presence: PresenceStub, renewer: Renewer) -> None:
    """A viewer who has moved is renewed where they are."""
    held = renewer.hold(write("before"), b"", nothing)
    held.write = write("after")
    await eventually("a renewal", lambda: presence.asked)

    assert not presence.of("before")


async def test_a_released_lease_is_not_renewed(presence: PresenceStub, renewer: Renewer) -> None:
    """Also when its renewal was planned already; and nothing is kept of it."""
    renewer.release(renewer.hold(write("ada"), b"", nothing))
    renewer.hold(write("bob"), b"", nothing)
    await eventually("bob's renewal", lambda: presence.of("bob"))

    assert not presence.of("ada")
    await eventually("nothing is kept of it", lambda: len(renewer) <= 1)


@pytest.mark.parametrize("is_full", [False, True], ids=["redis away", "queue full"])
async def test_what_fails_is_tried_again(presence: PresenceStub, renewer: Renewer, is_full: bool) -> None:
    """S9: an absence of Redis that is shorter than the lease loses nobody."""
    presence.result, presence.is_full = Unavailable("Redis is away"), is_full
    renewer.hold(write("ada"), b"", nothing)
    await eventually("a try", lambda: presence.asked)
    presence.result, presence.is_full = RENEWED, False
    await eventually("two more, the lease goes on", lambda: len(presence.asked) >= 3)


async def test_a_session_that_was_ended_is_told_and_left_alone(
    presence: PresenceStub, renewer: Renewer
) -> None:
    """An eviction, or a leave by HTTP."""
    presence.result = LEFT
    told: list[int] = []
    renewer.hold(write("ada"), b"", lambda: told.append(1))
    await eventually("told", lambda: told)
    await asyncio.sleep(INTERVAL_S)

    assert len(presence.asked) == 1


async def test_it_survives_whatever_goes_wrong(presence: PresenceStub, renewer: Renewer) -> None:
    """One that cannot even be posted does not end the others."""
    broken = renewer.hold(write("broken"), b"", nothing)
    renewer.hold(write("ada"), b"", nothing)
    broken.write = cast(Any, None)
    await eventually("ada is renewed", lambda: presence.of("ada"))


async def test_what_ended_during_a_suspension_is_not_renewed(
    presence: PresenceStub, renewer: Renewer
) -> None:
    """Leases of a TTL ago, due or under way: their sockets are told. After a shorter stop they live on."""
    over: list[str] = []
    for name in ("ada", "bob"):
        renewer.hold(write(name), b"", nothing, partial(over.append, name))
    renewer.on_suspension(59)
    await eventually("renewed", lambda: presence.of("ada") and presence.of("bob"))
    presence.asked.clear()
    presence.result = Unavailable("this has waited too long here")
    await eventually("under way", lambda: len(presence.asked) >= 2)
    renewer.on_suspension(61)
    await eventually("told", lambda: sorted(over) == ["ada", "bob"])
    presence.asked.clear()
    renewer.hold(write("new"), b"", nothing)

    await eventually("renewed", lambda: presence.of("new"))
    assert presence.of("ada") == presence.of("bob") == []
