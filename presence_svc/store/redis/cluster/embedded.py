"""A Cluster of embedded servers on loopback ports: for `presence-svc demo --cluster` and for tests.

It ends with the process that started it, as each of its servers does. It has a random password, because
other users of this machine can reach the ports.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ....errors import Misconfigured
from ..embedded import EmbeddedServer
from .slots import SLOTS

FORM_DEADLINE_S = 30.0
LOCAL = "127.0.0.1"


class ClusterServer:
    """One server of a Cluster; of its state only its Cluster configuration, in `data`, survives a restart."""

    def __init__(self, data: Path, *, binary: str | None, options: Sequence[str]) -> None:
        self.port, self.bus_port = free_ports()
        self.server = EmbeddedServer(
            binary=binary,
            data_dir=data / str(self.port),
            options=(
                *("--port", str(self.port), "--cluster-port", str(self.bus_port), "--bind", LOCAL),
                *("--cluster-enabled", "yes", "--appendonly", "no", "--repl-diskless-sync-delay", "0"),
                *("--cluster-require-full-coverage", "no"),  # a missing master must not stop the others
                *(option.replace("{port}", str(self.port)) for option in options),
            ),
        )

    def start(self, password: str) -> None:
        """Starts or restarts it. The password is not on the command line, which all users can read."""
        self.server.start()
        with self.client(None) as client:
            client.config_set("masterauth", password)
            client.config_set("requirepass", password)

    def client(self, password: str | None) -> redis.Redis:
        """A client of this server alone, over its unix socket."""
        return redis.Redis(
            unix_socket_path=self.server.url.removeprefix("unix://"),
            password=password,
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )


class EmbeddedCluster:
    """Use it as `with EmbeddedCluster(directory) as cluster:`. Its masters own equal ranges of slots."""

    def __init__(
        self,
        data: Path,
        *,
        masters: int = 3,
        replicas: int = 0,
        binary: str | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.password = secrets.token_urlsafe(16)
        self.masters, self.replicas = masters, replicas
        self._data, self._binary = data, binary
        self._options = options
        self._stack = ExitStack()
        self.servers: list[ClusterServer] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"{LOCAL}:{server.port}" for server in self.servers)
        return f"redis+cluster://:{self.password}@{hosts}"

    def start(self) -> str:
        """Starts the servers and forms a Cluster. Raises Misconfigured if that takes too long."""
        for _ in range(self.masters + self.replicas):
            self.add_server()
        clients = [self._stack.enter_context(server.client(self.password)) for server in self.servers]
        for i, client in enumerate(clients[: self.masters]):
            first, end = SLOTS * i // self.masters, SLOTS * (i + 1) // self.masters
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
        for i, client in enumerate(clients):
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", i + 1)
        for server in self.servers[1:]:
            clients[0].execute_command("CLUSTER MEET", LOCAL, server.port, server.bus_port)
        self._wait(lambda: all(known_nodes(client) == len(clients) for client in clients))
        for i, client in enumerate(clients[self.masters :]):
            client.execute_command("CLUSTER REPLICATE", node_id(clients[i % self.masters]))
        self._wait(lambda: all(is_formed(client) for client in clients))
        return self.url

    def add_server(self) -> ClusterServer:
        """Starts one more server, which is not yet part of the Cluster."""
        server = ClusterServer(self._data, binary=self._binary, options=self._options)
        self._stack.callback(server.server.stop)
        server.start(self.password)
        self.servers.append(server)
        return server

    def stop(self) -> None:
        """Stops all servers."""
        self._stack.close()
        self.servers = []

    def _wait(self, is_done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + FORM_DEADLINE_S
        while not is_done():
            if time.monotonic() > deadline:
                raise Misconfigured("the embedded servers did not form a Cluster in time")
            time.sleep(0.05)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def node_id(client: redis.Redis) -> str:
    """The id by which other nodes know this one."""
    found: Any = _ask(client, "CLUSTER MYID")
    return str(found.decode())


def known_nodes(client: redis.Redis) -> int:
    """How many nodes this one has completed its handshake with, itself included."""
    nodes: Any = _ask(client, "CLUSTER NODES")
    return sum("handshake" not in node["flags"] for node in nodes.values())


def is_formed(client: redis.Redis) -> bool:
    """Whether this node serves and, if it is a replica, is in sync with its master."""
    state: Any = _ask(client, "CLUSTER INFO")
    facts: Any = client.info("replication")
    is_complete = facts["role"] == "master" or facts["master_link_status"] == "up"
    return bool(state["cluster_state"] == "ok" and is_complete)


def _ask(client: redis.Redis, command: str) -> Any:
    return client.execute_command(command)  # type: ignore[no-untyped-call]


def free_ports() -> tuple[int, int]:
    """Two free ports, for clients and for the Cluster bus. Another process may take one before we do."""
    with socket.socket() as one, socket.socket() as two:
        one.bind((LOCAL, 0))
        two.bind((LOCAL, 0))
        return one.getsockname()[1], two.getsockname()[1]
