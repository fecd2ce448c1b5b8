"""`presence-svc doctor` on a Cluster: its topology, the spread of partitions, each master by itself."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from presence_svc.commands import doctor
from presence_svc.settings import load
from presence_svc.store.keys import Keys
from presence_svc.store.redis.cluster.embedded import ClusterServer
from tests.cluster_rig import Cluster, cluster, sentinels
from tests.rig import wait_until

Ask = Callable[..., tuple[int, str]]
OF_EACH = ("reachable", "rights", "version", "eviction", "clock", "consistency", "persistence", "coverage",
           "connections")  # fmt: skip


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Its exit status and what it prints, for these settings."""

    def ask(url: str, **settings: str) -> tuple[int, str]:
        monkeypatch.setenv("PRESENCE_REDIS_URL", url)
        for name, value in settings.items():
            monkeypatch.setenv(f"PRESENCE_{name.upper()}", value)
        status = doctor.run()
        return status, capsys.readouterr().out

    return ask


def wrong(said: str) -> list[str]:
    """What it finds wrong, by name."""
    return re.findall(r"^wrong (.+?): ", said, re.MULTILINE)


def test_a_healthy_cluster(empty_cluster: Cluster, ask: Ask) -> None:
    """Everything is looked at on each master, the status is 0, nothing is written, no password is shown."""
    wait_until(lambda: all(map(_knows_replicas(empty_cluster), empty_cluster.servers)))
    status, said = ask(empty_cluster.url)

    assert (status, wrong(said)) == (0, [])
    assert "topology: 3 masters, 3 replicas" in said
    assert "partitions: 256 partitions on 3 masters: 86 / 85 / 85" in said
    for master in empty_cluster.servers[:3]:
        for what in OF_EACH:
            assert re.search(rf"^(ok  |warn)  {what} of 127\.0\.0\.1:{master.port}: ", said, re.M), what
    assert "database of" not in said
    assert empty_cluster.password not in said
    for server in empty_cluster.servers[:3]:
        assert empty_cluster.execute(server, "DBSIZE") == 0


def _knows_replicas(servers: Cluster) -> Callable[[ClusterServer], bool]:
    """Whether a node has heard of the replica of every master: that takes a moment."""
    return lambda server: all(len(one) == 4 for one in servers.execute(server, "CLUSTER SLOTS"))


@pytest.mark.timeout(90)
def test_what_is_wrong_is_said_of_its_master(ask: Ask) -> None:
    """An eviction policy, full coverage, slots of nobody, a dead master: each by its name."""
    with cluster(replicas=0) as servers:
        one, other, third = servers.servers
        servers.execute(one, "CONFIG SET", "maxmemory-policy", "allkeys-lru")
        servers.execute(other, "CONFIG SET", "cluster-require-full-coverage", "yes")
        status, said = ask(servers.url)
        assert status == 1
        assert wrong(said) == [f"eviction of 127.0.0.1:{one.port}", f"coverage of 127.0.0.1:{other.port}"]
        assert "topology: 3 masters, 0 replicas: while a master is down, its courses are unavailable" in said

        servers.execute(one, "CONFIG SET", "maxmemory-policy", "noeviction")
        servers.execute(other, "CONFIG SET", "cluster-require-full-coverage", "no")
        for server in servers.servers:
            servers.execute(server, "CLUSTER DELSLOTS", 16_383)
        status, said = ask(servers.url)
        assert (status, wrong(said)) == (1, ["topology"])
        assert "1 of 16,384 slots have no owner" in said

        servers.kill(third)
        status, said = ask(servers.url)
        assert status == 1
        assert wrong(said) == ["topology", f"reachable of 127.0.0.1:{third.port}"]


def test_an_uneven_spread(ask: Ask) -> None:
    """A master with far more than its share of the partitions does not get on with the others."""
    with cluster(replicas=0, masters=2) as servers:
        partitions = Keys.of(load(redis_url=servers.url)).partitions
        moved = [partition.slot for partition in partitions[128:228]]
        servers.reshard_at_once(moved, servers.servers[0])
        status, said = ask(servers.url)

    assert (status, wrong(said)) == (1, ["partitions"])
    assert "partitions: 256 partitions on 2 masters: 228 / 28; move slots" in said


def test_other_partitions_than_those_that_hold(empty_cluster: Cluster, ask: Ask) -> None:
    """It says which number holds, as the service would at its start."""
    empty_cluster.execute(empty_cluster.owner_of("presence:partitions"), "SET", "presence:partitions", 64)

    status, said = ask(empty_cluster.url)

    assert status == 1
    assert re.search(r"^wrong settings: PRESENCE_PARTITIONS: is 256, and this Cluster holds 64", said, re.M)
    assert ask(empty_cluster.url, partitions="64")[0] == 0


@pytest.mark.timeout(60)
def test_under_sentinels(ask: Ask) -> None:
    """It names the master that they name, and looks at that."""
    with sentinels() as watched:
        status, said = ask(watched.url)

        assert (status, wrong(said)) == (0, [])
        assert f"sentinels: the master is 127.0.0.1:{watched.master_port}" in said
        assert watched.password not in said
