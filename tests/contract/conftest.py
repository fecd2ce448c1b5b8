"""Two replicas and an ear on one empty Redis; each test runs once per backend."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests import rig
from tests.cluster_rig import CLUSTER, ClusterBackend
from tests.conftest import EmptyServer
from tests.rig import Backend
from tests.store.replica import Ear, Replica, ear_of


@pytest.fixture(params=[*rig.BACKENDS, CLUSTER])
async def backend(
    request: pytest.FixtureRequest, empty_server: EmptyServer
) -> AsyncIterator[Backend | ClusterBackend]:
    """An empty Redis, a test for each kind: fakeredis, embedded Valkey, Debian's 7.0, a Cluster (S15)."""
    kind = request.param
    if kind == CLUSTER:
        async with ClusterBackend(request.getfixturevalue("shared_cluster")) as made:
            yield made
        return
    server = Backend(kind, None if kind == rig.FAKE else empty_server(kind).url)
    try:
        yield server
    finally:
        await server.close()


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
    async with ear_of(backend.client(protocol=2)) as made:
        yield made
