"""A clock that the test turns, and three replicas that go by it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rig import Backend
from tests.store.history import clock
from tests.store.replica import Replica


@pytest.fixture
def turned() -> Iterator[None]:
    with clock.turned_clock():
        yield


@pytest.fixture
async def trio(real_backend: Backend, turned: None) -> list[Replica]:
    """Three replicas on one Redis, at the beginning of a day."""
    made = [clock.replica(real_backend.client(protocol=2)) for _ in range(3)]
    await clock.set_clock(made[0].redis, clock.START)
    return made
