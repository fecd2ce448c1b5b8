"""The way to a Cluster: what it refuses at start, and that one master's absence is its own (S15)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.credentials import CredentialProvider

from presence_svc.client import Count, watch, watch_all
from presence_svc.errors import Misconfigured, PresenceError, Unavailable
from presence_svc.model import Heartbeat, Leave
from presence_svc.settings import load
from presence_svc.store.presence import Presence
from presence_svc.store.redis.cluster.link import RETRY_S, ClusterLink
from presence_svc.store.redis.factory import open_link
from presence_svc.store.redis.resp import ScriptCall
from presence_svc.store.write import HeartbeatWrite, LeaveWrite, WithSeq
from tests.certificate import certificate
from tests.cluster_rig import Cluster, cluster, sentinels
from tests.live.eventually import eventually
from tests.rig import DEBIAN, need

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    """Three masters that nobody breaks."""
    with cluster(replicas=0) as made:
        yield made


@pytest.fixture(autouse=True)
def emptied(request: pytest.FixtureRequest) -> None:
    """Each test that uses them finds them without data."""
    if "servers" in request.fixturenames:
        servers: Cluster = request.getfixturevalue("servers")
        for server in servers.servers:
            servers.execute(server, "FLUSHALL")


@asynccontextmanager
async def store(url: str, **settings: Any) -> AsyncIterator[Presence]:
    """The store of a replica."""
    made = load(redis_url=url, **settings)
    link = open_link(made)
    presence = Presence(link, made)
    try:
        await link.start()
        yield presence
    finally:
        await presence.close()
        await link.close()


def said(course: str, viewer: str = "ada", seq: int | None = None) -> WithSeq:
    write = HeartbeatWrite(course, viewer, Heartbeat(viewer_id=viewer, seq=seq))
    return write, write.seq


async def test_a_batch_over_all_masters(servers: Cluster) -> None:
    """S1, S15: a call per partition, results in the order asked, counts over all masters."""
    async with store(servers.url) as presence:
        courses = [f"c{n}" for n in range(300)]
        results = await presence.heartbeats([said(course, f"v{n % 3}") for n, course in enumerate(courses)])
        counts = await presence.counts(courses)

    assert not any(isinstance(result, PresenceError) for result in results)
    assert [count.total for count in counts] == [1] * 300
    assert [count.course_id for count in counts] == courses


async def test_no_call_has_more_words_than_services_take(
    servers: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 heartbeats, twice, and 500 leaves over 500 courses of one partition: at most 3,999 words each."""
    async with store(servers.url, partitions=1, key_prefix="narrow") as presence:
        many: list[int] = []
        results = presence.link.results

        async def counted(commands: Any, **options: Any) -> Any:
            many.extend(c.many + 2 if isinstance(c, ScriptCall) else len(c) for c in commands)
            return await results(commands, **options)

        monkeypatch.setattr(presence.link, "results", counted)
        beats = [said(f"c{n}") for n in range(500)]
        found = [*await presence.heartbeats(beats), *await presence.heartbeats(beats)]
        leaves = [LeaveWrite(f"c{n}", "ada", Leave(viewer_id="ada")) for n in range(500)]
        await asyncio.gather(*map(presence.leave, leaves))
        totals = [count.total for count in await presence.counts([f"c{n}" for n in range(500)])]

    assert not any(isinstance(result, PresenceError) for result in found)
    assert totals == [0] * 500
    assert 3_000 < max(many) <= 3_999


async def test_one_master_away_fails_its_own_only() -> None:
    """S15: in one batch, in one moment: its courses get an error, all others their result."""
    with cluster(replicas=0) as servers:
        async with store(servers.url) as presence:
            courses = [f"c{n}" for n in range(60)]
            await presence.heartbeats([said(course) for course in courses])
            gone = servers.servers[1]
            owners = {c: servers.owner_port(presence.keys.partition_of(c).slot) for c in courses}
            await asyncio.to_thread(servers.kill, gone)
            for _ in range(3):
                results = await presence.heartbeats([said(course) for course in courses])
                failed = {c for c, r in zip(courses, results, strict=True) if isinstance(r, PresenceError)}
                assert failed == {course for course, port in owners.items() if port == gone.port}
            counts = await presence.counts_or_errors(courses)
            read = {c for c, count in zip(courses, counts, strict=True) if isinstance(count, PresenceError)}
            assert read == failed
            assert not presence.link.away


async def test_a_full_master_is_known_to_be_full(servers: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """R8: while it takes no writes its courses are refused, others are not; each said once, also the end."""
    async with store(servers.url) as presence:
        courses = [f"c{n}" for n in range(60)]
        keys = presence.keys
        full = servers.owner(keys.partitions[-1].slot)
        assert full is not servers.owner(keys.partitions[0].slot)
        servers.execute(full, "CONFIG SET", "maxmemory", 1)
        theirs = {c for c in courses if servers.owner(keys.partition_of(c).slot) is full}
        for _ in range(6):
            results = await presence.heartbeats([said(course) for course in courses])
            assert {
                c for c, r in zip(courses, results, strict=True) if isinstance(r, PresenceError)
            } == theirs
            await asyncio.sleep(0.5)
        told = [record.message for record in caplog.records]
        servers.execute(full, "CONFIG SET", "maxmemory", 0)
        await eventually(
            "it accepts writes again", lambda: "accepts writes again" in caplog.text, within_s=10
        )
        results = await presence.heartbeats([said(course) for course in courses])

    assert told.count("redis accepts no writes: OOM") == 1
    assert "redis accepts writes again" not in told
    assert not any(isinstance(result, PresenceError) for result in results)


async def test_another_number_of_partitions_does_not_start(servers: Cluster) -> None:
    """The first replica fixes it; whoever says another number is told which one holds."""
    async with store(servers.url, partitions=64):
        pass

    with pytest.raises(Misconfigured, match=r"PRESENCE_PARTITIONS: is 256, and this Cluster holds 64"):
        async with store(servers.url):
            pass
    link = open_link(load(redis_url=servers.url))
    (refused,) = await link.results([("PING",)])
    await link.close()
    assert isinstance(refused, PresenceError)


async def test_a_node_named_as_one_server_is_told(servers: Cluster) -> None:
    """redis:// to a node of a Cluster: the message names the right URL, and no password."""
    one = servers.url.replace("+cluster", "").split(",")[0]

    with pytest.raises(Misconfigured, match=r"redis\+cluster://") as told:
        async with store(one):
            pass

    assert servers.password not in told.value.detail


async def test_why_no_node_answers_is_said(
    servers: Cluster, caplog: pytest.LogCaptureFixture, free_port: int
) -> None:
    """A wrong password, a wrong port: to whoever asks, and once in the log; so is that they are back."""
    wrong = servers.url.replace(servers.password, "not-it")
    for url, why in (
        (wrong, "invalid username-password pair"),
        (f"redis+cluster://127.0.0.1:{free_port}", f"127.0.0.1:{free_port}: "),
    ):
        caplog.clear()
        link = open_link(load(redis_url=url))
        for _ in range(3):
            with pytest.raises(Unavailable, match=f"no node of the cluster answers: .*{why}"):
                await link.start()
            await asyncio.sleep(RETRY_S + 0.05)
        await link.close()
        assert [record.message.partition(":")[0] for record in caplog.records] == ["redis is away"]
        assert why in caplog.text
        assert "not-it" not in caplog.text


async def test_one_server_named_as_a_cluster_is_told(redis_url: str, own_server: Any) -> None:
    """redis+cluster:// to a server that is none."""
    port = _listen(own_server)

    with pytest.raises(Misconfigured, match=r"is not a node of a Cluster: write redis://"):
        async with store(f"redis+cluster://127.0.0.1:{port}"):
            pass


def _listen(server: Any) -> int:
    """Opens a port on a server that has a socket alone."""
    import redis

    from tests.rig import free_port

    port = free_port()
    with redis.Redis.from_url(server.url) as client:
        client.config_set("bind", "127.0.0.1")
        client.config_set("port", port)
    return port


async def test_one_node_that_owns_all_slots() -> None:
    """Serverless services look so: one virtual node, and still a script may touch one slot only."""
    with cluster(masters=1, replicas=0) as servers:
        async with store(servers.url) as presence:
            results = await presence.heartbeats([said(f"c{n}") for n in range(50)])
            assert not any(isinstance(result, PresenceError) for result in results)
            assert (await presence.count("c7")).total == 1


async def test_addresses_that_hold_elsewhere() -> None:
    """NAT: the nodes announce what cannot be reached: said at start, with what to do; then mapped."""
    with cluster(masters=1, replicas=0) as servers:
        (server,) = servers.servers
        servers.execute(server, "CONFIG SET", "cluster-announce-ip", "192.0.2.7")
        await asyncio.sleep(0.5)
        with pytest.raises(Misconfigured, match=r"192\.0\.2\.7.*PRESENCE_REDIS_ADDRESSES"):
            async with store(servers.url):
                pass

        there = f"192.0.2.7:{server.port}=127.0.0.1:{server.port}"
        async with store(servers.url, redis_addresses=there) as presence:
            assert (await presence.heartbeat(*said("c1"))).total == 1


class Rotating(CredentialProvider):
    """As cloud providers have them: the password of the hour."""

    password = ""

    def get_credentials(self) -> tuple[str]:
        return (self.password,)


async def test_passwords_that_change(servers: Cluster) -> None:
    """A provider is asked for every connection; the URL holds no password."""
    Rotating.password = servers.password
    hosts = servers.url.rpartition("@")[2]
    path = f"{__name__}.Rotating"

    async with store(f"redis+cluster://{hosts}", redis_credentials=path) as presence:
        assert (await presence.heartbeat(*said("c1"))).total == 1


@pytest.mark.parametrize("path", ["no.such.module", "os.sep", "tests.rig.DEBIAN", "builtins.dict"])
def test_a_provider_that_is_none_is_refused(path: str) -> None:
    """At start, with the setting's name."""
    with pytest.raises(Misconfigured, match=r"^PRESENCE_REDIS_CREDENTIALS: "):
        open_link(load(redis_url="redis+cluster://127.0.0.1:1", redis_credentials=path))


@pytest.mark.parametrize("kind", ["server", "cluster", "cluster, global", "sentinel"])
async def test_watching_on_every_kind(kind: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S8: one course, and all courses: a snapshot, each change, and a course that is new."""
    if kind == "server":
        await _watched(redis_url)
    elif kind == "sentinel":
        with sentinels() as watched:
            await _watched(watched.url)
    else:
        if "global" in kind:
            monkeypatch.setenv("PRESENCE_PUBSUB", "global")
        with cluster(replicas=0) as servers:
            await _watched(servers.url)


async def _watched(url: str) -> None:
    async with store(url, publish_interval=0.01) as presence:
        await presence.heartbeat(*said("old"))
        everything, one = watch_all(url), watch(url, "old")
        assert (await _next(one, "old", 1)).course_id == "old"
        await _next(everything, "old", 1)
        await presence.heartbeat(*said("new"))
        await _next(everything, "new", 1)
        await presence.heartbeat(*said("new", "bob"))
        await _next(everything, "new", 2)
        await presence.heartbeat(*said("old", "bob"))
        await _next(one, "old", 2)
        await one.aclose()  # type: ignore[attr-defined]
        await everything.aclose()  # type: ignore[attr-defined]


async def _next(counts: AsyncIterator[Count], course: str, total: int) -> Count:
    async with asyncio.timeout(15):
        async for count in counts:
            if (count.course_id, count.total) == (course, total):
                return count
    raise AssertionError("the watch has ended")


async def test_over_tls(tmp_path: Path) -> None:
    """rediss+cluster://: nodes that speak TLS alone, to clients and to each other (Debian's server can)."""
    need("redis-server")
    cert, key = certificate(tmp_path)
    options = [
        *("--port", "0", "--tls-port", "{port}", "--tls-cluster", "yes", "--tls-replication", "yes"),
        *("--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert),
        *("--tls-auth-clients", "no"),
    ]
    with cluster(replicas=0, kind=DEBIAN, options=options) as servers:
        url = servers.url.replace("redis+", "rediss+")
        async with store(f"{url}/0?ssl_ca_certs={cert}&ssl_check_hostname=false") as presence:
            for _ in range(20):  # a busy machine shakes hands for longer than a deadline
                results = await presence.heartbeats([said(f"c{n}") for n in range(30)])
                if not any(isinstance(result, PresenceError) for result in results):
                    break
            assert not any(isinstance(result, PresenceError) for result in results)
            assert isinstance(presence.link, ClusterLink)
            assert len(presence.link.topology.table.masters) == 3
