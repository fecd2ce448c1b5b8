"""Two replicas and an ear on one real, empty Redis: what is under test are raw keys, scores and TTLs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.rig import Backend
from tests.store.replica import Ear, Replica


@pytest.fixture
def replica(real_backend: Backend) -> Replica:
    """The replica that most tests speak to; once for each real server."""
    return Replica(real_backend.client(protocol=2))


@pytest.fixture
def other(real_backend: Backend) -> Replica:
    """Another replica on the same Redis."""
    return Replica(real_backend.client(protocol=2))


@pytest.fixture
async def ear(real_backend: Backend) -> AsyncIterator[Ear]:
    """Hears every message that is published from now on."""
    async with Ear(real_backend.client(protocol=2)) as made:
        yield made
