"""The sweeper: it wakes when something is due, shares the work, and survives whatever goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest.mock import AsyncMock

import pytest

from presence_svc.errors import Unavailable
from presence_svc.live.sweeper import BREAK_S, Sweeper
from presence_svc.store.agenda import Due, Swept
from presence_svc.store.shared import WarmState
from tests.live.eventually import eventually
from tests.rig import Backend
from tests.store.replica import Ear, Replica

FAST = {"ttl": 0.4, "hidden_ttl": 0.8, "heartbeat_interval": 0.15, "leave_grace": 0.1}


class Stage:
    """A Redis, replicas on it and their sweepers; all ended after the test."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.sweepers: list[Sweeper] = []

    def replica(self, **settings: Any) -> Replica:
        return Replica(self._backend.client(protocol=2), **(FAST | settings))

    def sweeper(
        self,
        replica: Replica,
        *,
        on_removed: Callable[[int], None] = lambda viewers: None,
        on_warm_state: Callable[[WarmState], None] = lambda state: None,
    ) -> Sweeper:
        made = Sweeper(replica.agenda, replica.shared, replica.settings)
        replica.agenda.on_removed, made.on_warm_state = on_removed, on_warm_state
        replica.presence.on_due = made.poke
        made.start()
        self.sweepers.append(made)
        return made

    def ear(self) -> Ear:
        return Ear(self._backend.client(protocol=2))


@pytest.fixture
async def stage(valkey_backend: Backend) -> AsyncIterator[Stage]:
    made = Stage(valkey_backend)
    yield made
    for sweeper in made.sweepers:
        await sweeper.stop()


async def test_an_expiry_is_published_soon_after_the_lease(stage: Stage) -> None:
    """S9: nobody says goodbye; within 1.5 s after the lease the channel says zero."""
    replica = stage.replica(sweep_interval=1)
    stage.sweeper(replica)
    async with stage.ear() as ear:
        done = await replica.beat("ada")
        messages = await ear.hear(until=2)

    assert [message["total"] for message in messages] == [1, 0]
    assert 0 <= messages[1]["as_of"] - done.expires_at <= 1_500


async def test_a_message_that_waits_is_sent_by_a_poke(stage: Stage) -> None:
    """S8: with a sweep interval of minutes the trailing message still goes out when it is due."""
    replica = stage.replica(sweep_interval=100, ttl=60, hidden_ttl=150)
    stage.sweeper(replica)
    await asyncio.sleep(0.05)
    async with stage.ear() as ear:
        for n in range(10):
            await replica.beat(f"v{n}")
        messages = await ear.hear(until=2)

    assert [message["total"] for message in messages] == [1, 10]
    assert messages[1]["as_of"] - messages[0]["as_of"] < 2_000


async def test_only_the_earliest_poke_counts(stage: Stage) -> None:
    """A later poke does not put off an earlier one, and an earlier one comes before a later."""
    replica = stage.replica(sweep_interval=100, ttl=60, hidden_ttl=150)
    sweeper = stage.sweeper(replica)
    await asyncio.sleep(0.05)
    passes: list[float] = []
    sweep = sweeper.sweep

    async def counted() -> float:
        passes.append(asyncio.get_running_loop().time())
        return await sweep()

    sweeper.sweep = counted  # type: ignore[method-assign]
    began = asyncio.get_running_loop().time()
    for delay_ms in (60_000, 30, 90_000, 50_000):
        sweeper.poke(delay_ms)
    await eventually("a pass", lambda: passes, within_s=5)

    assert passes[0] - began < 5


@pytest.mark.parametrize("error", [ValueError("a bug"), Unavailable("away"), RuntimeError("loop")])
async def test_it_survives_whatever_goes_wrong(stage: Stage, error: Exception) -> None:
    """A pass that fails, in any way, is followed by the next one."""
    replica = stage.replica(sweep_interval=0.02)
    failures = 0
    due = replica.agenda.due

    async def broken(*, everywhere: bool = False) -> Any:
        nonlocal failures
        if failures < 3:
            failures += 1
            raise error
        return await due()

    replica.agenda.due = broken  # type: ignore[method-assign]
    stage.sweeper(replica)
    await replica.beat("ada")
    await eventually("swept after all", lambda: _is_empty(replica), within_s=5)

    assert failures == 3


async def _is_empty(replica: Replica) -> bool:
    return bool(await replica.redis.exists("presence:{c1}:viewers", "presence:agenda:0") == 0)


async def test_passes_stay_within_the_interval(stage: Stage) -> None:
    """S9: jitter shortens the pause by a quarter at most, and never lengthens it."""
    replica = stage.replica(sweep_interval=1)
    sweeper = stage.sweeper(replica)
    pauses: list[float] = []

    async def note(pause_s: float) -> None:
        pauses.append(pause_s)
        await asyncio.sleep(0 if len(pauses) < 200 else 10)

    sweeper._sleep = note  # type: ignore[method-assign]
    sweeper._ring()
    await eventually("two hundred pauses", lambda: len(pauses) >= 200)

    assert min(pauses) >= 0.75
    assert max(pauses) <= 1.0
    assert len({round(pause, 3) for pause in pauses}) > 50


async def test_the_pulse_is_heard(stage: Stage) -> None:
    """S11: warming at first, then not, as long as pulses come."""
    heard: list[bool] = []
    stage.sweeper(stage.replica(sweep_interval=0.05), on_warm_state=lambda state: heard.append(state.warming))
    await eventually("warm", lambda: False in heard)

    assert heard[0] is True
    assert heard == sorted(heard, reverse=True)


async def test_replicas_share_the_departures(stage: Stage) -> None:
    """S10: three sweepers, two hundred viewers in ten courses: each departure is counted by one of them."""
    gone: list[int] = []
    replicas = [stage.replica(sweep_interval=0.05) for _ in range(3)]
    for replica in replicas:
        stage.sweeper(replica, on_removed=gone.append)
    await asyncio.gather(*(replicas[n % 3].beat(f"v{n}", course=f"c{n % 10}") for n in range(200)))
    await eventually("all gone", lambda: sum(gone) >= 200)
    await asyncio.sleep(0.2)

    assert sum(gone) == 200


async def test_a_pass_that_removes_nobody_is_followed_by_a_break(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S10: thousands of courses are due ms apart: many replicas must not ask Redis at each of these moments.

    Ended leases are removed without a break, however many there are (S9).
    """
    replica = stage.replica()
    sweeper = Sweeper(replica.agenda, replica.shared, replica.settings)
    swept = Swept(removed=0, next_due=1)  # more is due, and has been for long
    waits = {}
    for removed in (0, 1):
        monkeypatch.setattr(replica.agenda, "due", AsyncMock(return_value=Due(2, 1, ["c1"])))
        monkeypatch.setattr(
            replica.agenda, "sweep", AsyncMock(return_value=[swept._replace(removed=removed)])
        )
        waits[removed] = await sweeper.sweep()

    assert waits[0] == BREAK_S
    assert waits[1] < BREAK_S


async def test_stop_ends_it(stage: Stage) -> None:
    """After stop nothing runs and no timer is left, whatever it was waiting for."""
    sweeper = stage.sweeper(stage.replica(sweep_interval=100))
    sweeper.poke(60_000)
    await asyncio.wait_for(sweeper.stop(), 5)

    assert sweeper._task is not None
    assert sweeper._task.done()
