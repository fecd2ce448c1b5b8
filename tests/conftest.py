"""Fixtures for every room: an empty Redis (one, or one of each kind) and the service as a process.

The parts are in tests/rig.py, for suites that want another scope or another shape.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from redis import Redis

from presence_svc.store.redis.embedded import EmbeddedServer
from tests import rig
from tests.cluster_rig import CLUSTER, Cluster, ClusterBackend, cluster

EmptyServer = Callable[[str], EmbeddedServer]
SpawnService = Callable[..., rig.Service]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: two processes more than there are cores, because tests wait for half of their time."""
    return (os.cpu_count() or 1) + 2


@pytest.fixture(scope="session")
def empty_server() -> Iterator[EmptyServer]:
    """Gives a server of one kind, emptied; each kind is started once per xdist worker."""
    running: dict[str, EmbeddedServer] = {}
    with ExitStack() as stack:

        def get(kind: str) -> EmbeddedServer:
            if kind not in running:
                running[kind] = stack.enter_context(rig.real_server(kind))
            with Redis.from_url(running[kind].url) as client:
                client.flushall()
            return running[kind]

        yield get


@pytest.fixture
def redis_url(empty_server: EmptyServer) -> str:
    """The URL of an empty embedded server."""
    return empty_server(rig.VALKEY).url


@asynccontextmanager
async def _backend(kind: str, empty_server: EmptyServer) -> AsyncIterator[rig.Backend]:
    made = rig.Backend(kind, None if kind == rig.FAKE else empty_server(kind).url)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture(params=rig.BACKENDS)
async def backend(request: pytest.FixtureRequest, empty_server: EmptyServer) -> AsyncIterator[rig.Backend]:
    """An empty Redis, one test for each kind: fakeredis, embedded Valkey, Debian's 7.0."""
    async with _backend(request.param, empty_server) as made:
        yield made


@pytest.fixture(params=rig.REAL_BACKENDS)
async def real_backend(
    request: pytest.FixtureRequest, empty_server: EmptyServer
) -> AsyncIterator[rig.Backend]:
    """The same without fakeredis: for what needs INFO, real time or a second connection's view."""
    async with _backend(request.param, empty_server) as made:
        yield made


@pytest.fixture
async def valkey_backend(empty_server: EmptyServer) -> AsyncIterator[rig.Backend]:
    """Embedded Valkey only: for what does not depend on the kind of server."""
    async with _backend(rig.VALKEY, empty_server) as made:
        yield made


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[Cluster]:
    """Three masters with a replica each that nobody breaks; started once per xdist worker."""
    with cluster() as made:
        yield made


@pytest.fixture
def empty_cluster(shared_cluster: Cluster) -> Cluster:
    """The same, without data."""
    shared_cluster.empty()
    return shared_cluster


@pytest.fixture(params=[*rig.REAL_BACKENDS, CLUSTER])
async def every_backend(
    request: pytest.FixtureRequest, empty_server: EmptyServer
) -> AsyncIterator[rig.Backend | ClusterBackend]:
    """The real ones, and a Cluster (S15)."""
    if request.param == CLUSTER:
        async with ClusterBackend(request.getfixturevalue("shared_cluster")) as servers:
            yield servers
        return
    async with _backend(request.param, empty_server) as made:
        yield made


@pytest.fixture(params=[rig.VALKEY, CLUSTER])
def url_of_a_kind(request: pytest.FixtureRequest) -> str:
    """The URL of an empty server, and of an empty Cluster."""
    if request.param == CLUSTER:
        servers: Cluster = request.getfixturevalue("empty_cluster")
        return servers.url
    url: str = request.getfixturevalue("redis_url")
    return url


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server that nobody else uses: a test may stop, kill and start it (same URL) as it likes."""
    with rig.real_server(rig.VALKEY) as server:
        yield server


@pytest.fixture(scope="session")
def tools() -> Path:
    """Node programs that judge the npm package and the descriptions."""
    return rig.npm_packages(rig.ROOT / "tests/tools", "publint")


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on now."""
    return rig.free_port()


@pytest.fixture
def spawn_service() -> Iterator[SpawnService]:
    """Starts services, `spawn_service(env, port=...)`, and ends them all after the test."""
    with ExitStack() as stack:

        def spawn(
            env: Mapping[str, str] | None = None,
            *,
            port: int | None = None,
            command: Sequence[str] = ("serve",),
        ) -> rig.Service:
            return stack.enter_context(rig.Service(env, port=port, command=command))

        yield spawn
