"""Clusters and Sentinels of real servers on loopback, and what happens to them: failover, resharding, loss.

Used by tests/contract (over a cluster), tests/faults and tests/benchmarks. redis-py speaks to each server
alone; there is no valkey-cli in the wheel.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from presence_svc.settings import load
from presence_svc.store.redis.cluster.embedded import (
    LOCAL,
    ClusterServer,
    EmbeddedCluster,
    free_ports,
    is_formed,
    node_id,
)
from presence_svc.store.redis.cluster.link import ClusterLink
from presence_svc.store.redis.cluster.slots import slot_of
from presence_svc.store.redis.embedded import EmbeddedServer, bundled_binary
from presence_svc.store.redis.factory import open_link
from tests.rig import DEBIAN, need
from tests.store.cluster_client import ClusterClient

FAST_FAILOVER = ("--cluster-node-timeout", "1500", "--cluster-replica-validity-factor", "0")
DEADLINE_S = 25.0
KEYS_A_STEP = 100
CLUSTER = "cluster"
SERVICE = "mymaster"
PASSWORD = "secret-of-redis"


def wait_for(what: str, is_so: Callable[[], object], *, within_s: float = DEADLINE_S) -> None:
    """Asks until it is so; what a server answers meanwhile may be an error."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if is_so():
                return
            error: Exception | None = None
        except (redis.RedisError, OSError) as caught:
            error = caught
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what} ({error})")
        time.sleep(0.05)


class Cluster(EmbeddedCluster):
    """A Cluster whose servers are killed, paused and moved about."""

    def __init__(
        self,
        data: Path,
        *,
        masters: int = 3,
        replicas: int = 3,
        kind: str = "",
        options: Sequence[str] = (),
    ) -> None:
        binary = need("redis-server") if kind == DEBIAN else None
        options = (*FAST_FAILOVER, *options)
        super().__init__(data, masters=masters, replicas=replicas, binary=binary, options=options)

    def client_of(self, server: ClusterServer) -> redis.Redis:
        return server.client(self.password)

    def execute(self, server: ClusterServer, *command: Any) -> Any:
        with self.client_of(server) as client:
            return client.execute_command(*command)

    def empty(self) -> None:
        """Forgets all data, on every master."""
        for server in self.servers:
            if self._role(server) == "master":
                self.execute(server, "FLUSHALL")

    def by_port(self, port: int) -> ClusterServer:
        return next(server for server in self.servers if server.port == port)

    def owner_port(self, slot: int, *, asked: ClusterServer | None = None) -> int:
        """The port of a slot's master, as one of the servers sees it; 0 when nobody has it."""
        for first, last, master, *_ in self.execute(asked or self._any(), "CLUSTER SLOTS"):
            if first <= slot <= last:
                return int(master[1])
        return 0

    def owner(self, slot: int) -> ClusterServer:
        return self.by_port(self.owner_port(slot))

    def owner_of(self, key: str) -> ClusterServer:
        return self.owner(slot_of(key))

    def replica_of(self, master: ClusterServer) -> ClusterServer:
        with self.client_of(master) as client:
            mine = node_id(client)
        nodes = self.execute(self._any(), "CLUSTER NODES")
        address = next(where for where, node in nodes.items() if node["master_id"] == mine)
        return self.by_port(int(address.rpartition(":")[2]))

    def _any(self) -> ClusterServer:
        return next(server for server in self.servers if server.server.pid and _runs(server.server.pid))

    def kill(self, server: ClusterServer) -> None:
        """kill -9."""
        os.kill(server.server.pid, signal.SIGKILL)
        wait_for("the server is dead", lambda: not _runs(server.server.pid))

    @contextmanager
    def paused(self, server: ClusterServer) -> Iterator[None]:
        """SIGSTOP: it takes bytes, and answers none."""
        os.kill(server.server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(server.server.pid, signal.SIGCONT)

    def restart(self, server: ClusterServer) -> None:
        """Comes back with its place in the cluster, and without data."""
        server.start(self.password)

    def wait_until_formed(self) -> None:
        def all_well() -> bool:
            for server in self.servers:
                with self.client_of(server) as client:
                    if not is_formed(client):
                        return False
            return True

        wait_for("the cluster is whole", all_well)

    def fail_over(self, master: ClusterServer) -> ClusterServer:
        """By hand: its replica takes over, in agreement with it. Returns the new master."""
        replica = self.replica_of(master)

        def has_taken_over() -> bool:
            if self._role(replica) == "master":
                return True
            self.execute(replica, "CLUSTER FAILOVER")  # also again: the vote may have failed
            wait_for("it has taken over", lambda: self._role(replica) == "master", within_s=3)
            return True

        for _ in range(5):
            try:
                has_taken_over()
                break
            except AssertionError:
                continue
        wait_for("the replica is master", lambda: self._role(replica) == "master")
        return replica

    def _role(self, server: ClusterServer) -> str:
        with self.client_of(server) as client:
            facts: Any = client.info("replication")
            return str(facts["role"])

    def promoted(self, replica: ClusterServer) -> None:
        """Waits until it has taken over by itself."""
        wait_for("the replica has taken over", lambda: self._role(replica) == "master")

    def join(self, server: ClusterServer) -> None:
        """A new server becomes a master without slots, known to all."""
        first = self._any()
        self.execute(first, "CLUSTER MEET", LOCAL, server.port, server.bus_port)
        wait_for(
            "all know the new node",
            lambda: (
                all(
                    any(where.endswith(f":{server.port}") for where in self.execute(other, "CLUSTER NODES"))
                    for other in self.servers
                )
                and self.execute(server, "CLUSTER INFO")["cluster_state"] == "ok"
            ),
        )

    def leave(self, server: ClusterServer) -> None:
        """A server without slots goes, and all forget it."""
        with self.client_of(server) as client:
            gone = node_id(client)
        self.servers.remove(server)
        for other in self.servers:
            self.execute(other, "CLUSTER FORGET", gone)
        server.server.stop()

    @contextmanager
    def migrating(self, slot: int, target: ClusterServer) -> Iterator[None]:
        """The old way, open: keys may be moved one by one, and at the end the slot is the target's."""
        source = self.owner(slot)
        source_id, target_id = self._id(source), self._id(target)
        self.execute(target, "CLUSTER SETSLOT", slot, "IMPORTING", source_id)
        self.execute(source, "CLUSTER SETSLOT", slot, "MIGRATING", target_id)
        yield
        self.move_keys(slot, source, target)
        for server in (target, source, *self.servers):
            try:
                self.execute(server, "CLUSTER SETSLOT", slot, "NODE", target_id)
            except redis.ResponseError:  # a replica: it hears of it
                continue

    def _id(self, server: ClusterServer) -> str:
        with self.client_of(server) as client:
            return node_id(client)

    def move_keys(self, slot: int, source: ClusterServer, target: ClusterServer) -> None:
        while keys := self.execute(source, "CLUSTER GETKEYSINSLOT", slot, KEYS_A_STEP):
            auth = ("AUTH", self.password)
            self.execute(source, "MIGRATE", LOCAL, target.port, "", 0, 5000, *auth, "KEYS", *keys)

    def reshard(self, slots: Sequence[int], target: ClusterServer) -> None:
        """The old way, slot by slot."""
        for slot in slots:
            if self.owner_port(slot) != target.port:
                with self.migrating(slot, target):
                    pass

    def reshard_at_once(self, slots: Sequence[int], target: ClusterServer) -> None:
        """As Valkey 9 does it: each source gives all of them away in one step."""
        target_id = self._id(target)
        sources: dict[int, list[int]] = {}
        for slot in slots:
            sources.setdefault(self.owner_port(slot), []).append(slot)
        sources.pop(target.port, None)
        for port, given in sources.items():
            ranges = [word for slot in given for word in (slot, slot)]
            self.execute(self.by_port(port), "CLUSTER MIGRATESLOTS", "SLOTSRANGE", *ranges, "NODE", target_id)
        wait_for("the slots have moved", lambda: all(self.owner_port(s) == target.port for s in slots))


class ClusterBackend:
    """A Cluster as tests/contract knows a Redis: empty, with a client. As tests.rig.Backend."""

    kind = CLUSTER

    def __init__(self, cluster: Cluster) -> None:
        self.url = cluster.url
        self._link = open_link(load(redis_url=cluster.url), timeout_s=10)
        self._clients: list[ClusterClient] = []

    async def __aenter__(self) -> Self:
        assert isinstance(self._link, ClusterLink)
        await self._link.topology.start()
        await self.client().flushall()
        return self

    async def __aexit__(self, *error: object) -> None:
        for client in self._clients:
            await client.aclose()
        await self._link.close()

    async def follow(self) -> None:
        """Looks for slots where they have been moved to."""
        assert isinstance(self._link, ClusterLink)
        await self._link.topology.refresh()

    def client(self, **options: Any) -> Any:
        """Looks at every master; replicas are made with it."""
        assert isinstance(self._link, ClusterLink)
        self._clients.append(ClusterClient(self.url, self._link.topology))
        return self._clients[-1]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


class Sentinels:
    """A master, a replica and three Sentinels; `url` names the Sentinels."""

    def __init__(self, data: Path, *, down_after_ms: int = 800, password: str = PASSWORD) -> None:
        self.password = password
        self._data = data
        self._down_after_ms = down_after_ms
        self.servers: list[EmbeddedServer] = []
        self.ports: list[int] = []
        self.sentinel_ports: list[int] = []
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"{LOCAL}:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://:{self.password}@{hosts}/{SERVICE}/0?sentinel_password=secret-of-sentinels"

    def __enter__(self) -> Self:
        try:
            for _ in range(2):
                self._start_server()
            self._wait_for_replica()
            for n in range(3):
                self._start_sentinel(n)
            wait_for("the sentinels know each other", self._is_watched)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for server in self.servers:
            server.stop()

    def _start_server(self) -> None:
        port, _ = free_ports()
        options = [
            "--port",
            str(port),
            "--bind",
            LOCAL,
            "--appendonly",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        ]
        server = EmbeddedServer(data_dir=self._data / str(port), options=options)
        server.start()
        self.servers.append(server)
        self.ports.append(port)
        self._guard(server)
        if len(self.servers) > 1:
            self.client(port).replicaof(LOCAL, self.ports[0])

    def _guard(self, server: EmbeddedServer) -> None:
        with redis.Redis(unix_socket_path=server.url.removeprefix("unix://")) as client:
            client.config_set("masterauth", self.password)
            client.config_set("requirepass", self.password)

    def _wait_for_replica(self) -> None:
        def is_up() -> bool:
            facts: Any = self.client(self.ports[1]).info("replication")
            return bool(facts["master_link_status"] == "up")

        wait_for("the replica has its data", is_up)

    def _start_sentinel(self, n: int) -> None:
        port, _ = free_ports()
        config = self._data / f"sentinel-{n}.conf"
        config.write_text(
            f"port {port}\nbind {LOCAL}\ndir {self._data}\nrequirepass secret-of-sentinels\n"
            f"sentinel sentinel-pass secret-of-sentinels\n"
            f"sentinel monitor {SERVICE} {LOCAL} {self.ports[0]} 2\n"
            f"sentinel auth-pass {SERVICE} {self.password}\n"
            f"sentinel down-after-milliseconds {SERVICE} {self._down_after_ms}\n"
            f"sentinel failover-timeout {SERVICE} 5000\n"
        )
        self._processes.append(
            subprocess.Popen(
                [bundled_binary(), str(config), "--sentinel"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        self.sentinel_ports.append(port)

    def _is_watched(self) -> bool:
        for port in self.sentinel_ports:
            with self.sentinel(port) as client:
                facts: Any = client.execute_command("SENTINEL MASTER", SERVICE)
                if int(facts["num-other-sentinels"]) != 2 or int(facts["num-slaves"]) != 1:
                    return False
        return True

    def client(self, port: int) -> redis.Redis:
        return redis.Redis(
            host=LOCAL, port=port, password=self.password, socket_timeout=5, retry=Retry(NoBackoff(), 0)
        )

    def sentinel(self, port: int) -> redis.Redis:
        return redis.Redis(
            host=LOCAL,
            port=port,
            password="secret-of-sentinels",
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )

    @property
    def master_port(self) -> int:
        """As the first Sentinel sees it."""
        with self.sentinel(self.sentinel_ports[0]) as client:
            found: Any = client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE)
            return int(found[1])

    def master(self) -> EmbeddedServer:
        return self.servers[self.ports.index(self.master_port)]

    def fail_over(self) -> None:
        """By hand."""
        before = self.master_port
        with self.sentinel(self.sentinel_ports[0]) as client:
            client.execute_command("SENTINEL FAILOVER", SERVICE)
        wait_for("another master", lambda: self.master_port != before)


@contextmanager
def cluster(**options: Any) -> Iterator[Cluster]:
    """A running Cluster in a directory of its own."""
    with tempfile.TemporaryDirectory() as data, Cluster(Path(data), **options) as made:
        yield made


@contextmanager
def sentinels(**options: Any) -> Iterator[Sentinels]:
    """A running set of Sentinels in a directory of its own."""
    with tempfile.TemporaryDirectory() as data, Sentinels(Path(data), **options) as made:
        yield made
