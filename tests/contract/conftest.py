"""Two replicas and an ear on one empty Redis; each test runs once per backend."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.rig import Backend
from tests.store.replica import Ear, Replica


@pytest.fixture
def replica(backend: Backend) -> Replica:
    """The replica that most tests speak to."""
    return Replica(backend.client(protocol=2))


@pytest.fixture
def other(backend: Backend) -> Replica:
    """Another replica on the same Redis."""
    return Replica(backend.client(protocol=2))


@pytest.fixture
async def ear(backend: Backend) -> AsyncIterator[Ear]:
    """Hears every message that is published from now on."""
    async with Ear(backend.client(protocol=2)) as made:
        yield made
