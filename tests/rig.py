"""What tests stand on: the table of backends, free ports, and the service as a process of its own.

Used by every conftest.py. A backend that is missing is skipped at home and fails in CI.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.described import check_log
from tests.forked import Forked, fork
from tests.frame_log import PLACE

ROOT = Path(__file__).resolve().parent.parent
FAKE, VALKEY, DEBIAN = "fakeredis", "valkey", "redis-7.0"
BACKENDS = (FAKE, VALKEY, DEBIAN)
REAL_BACKENDS = (VALKEY, DEBIAN)
READY_DEADLINE_S = 60.0
STOP_DEADLINE_S = 15.0
LOG_S = 0.03  # logs are written by a thread of their own
# For tests that are not about this deadline; see tests/service.py and tests/faults/conftest.py.
PATIENT = {"PRESENCE_REDIS_TIMEOUT": "2"}
SHIPPED = {"PRESENCE_REDIS_TIMEOUT": "0.3"}


def missing(what: str) -> None:
    """Skips at home, fails in CI: a suite that silently runs nothing proves nothing."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"{what} is missing")


def need(program: str) -> str:
    """The path of a program that the test cannot do without."""
    path = shutil.which(program)
    if path is None:
        missing(program)
    return str(path)


def free_port() -> int:
    """A port that nobody listens on now. Who uses it must live with being too late."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody listens on a port now."""
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def npm_packages(folder: Path, program: str) -> Path:
    """A folder with what its package.json names; installed by npm when `program` is not there."""
    npm = need("npm")
    with (folder / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # parallel workers wait for the first
        if not (folder / "node_modules/.bin" / program).exists():
            command = [npm, "install", "--no-progress", "--loglevel=error"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
            if done.returncode:
                missing(f"the npm packages of {folder.name} ({done.stderr[-300:]})")
    return folder


def npm_pack(folder: Path) -> Path:
    """The badge's npm package, packed as `npm publish` would."""
    command = [need("npm"), "pack", "--silent", "--pack-destination", str(folder)]
    subprocess.run(command, cwd=ROOT / "presence_svc/badge", check=True, capture_output=True, timeout=120)
    (made,) = folder.glob("*.tgz")
    return made


def copy_clone(target: Path) -> Path:
    """The files that git knows, and nothing that lies around."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((ROOT / name).read_bytes())
    return target


@contextmanager
def real_server(kind: str) -> Iterator[EmbeddedServer]:
    """A server process of one of REAL_BACKENDS, running."""
    binary = need("redis-server") if kind == DEBIAN else None
    with EmbeddedServer(binary=binary) as server:
        yield server


class Backend:
    """One Redis, empty: makes clients and closes them all. `url` is None for fakeredis."""

    def __init__(self, kind: str, url: str | None) -> None:
        self.kind = kind
        self.url = url
        self._fake = FakeServer(server_type="redis", version=(7, 0)) if url is None else None
        self._clients: list[Redis] = []

    def client(self, **options: Any) -> Redis:
        """A client; `options` are redis.asyncio.Redis's (bytes come back unless told otherwise)."""
        client: Redis = (
            FakeAsyncRedis(server=self._fake, **options)
            if self.url is None
            else Redis.from_url(self.url, **options)
        )
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


class Service:
    """`presence-svc serve` in its own process group, logging to a file; patient with Redis unless told else.

    Without a `port` it gets a free one from the system, and keeps it when it is started again. It notes down
    what it tells (tests/frame_log.py), unless its speed is measured. It is forked (tests/forked.py), unless
    its speed is measured, Python itself is told something, or a command `through` which it starts is given.
    """

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        *,
        port: int | None = None,
        command: Sequence[str] = ("serve",),
        through: Sequence[str] = (),
        is_measured: bool = False,
    ) -> None:
        self.port = port or 0
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PRESENCE_")}
        module = "presence_svc" if is_measured else "tests.service"
        self._arguments, self._command = command, [*through, sys.executable, "-m", module, *command]
        self._cwd = ROOT
        self._env = clean | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self._env |= {**({} if is_measured else PATIENT), **(env or {})}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._frames: Path | None = None
        is_told = through or any(key.startswith("PYTHON") for key in env or ())
        self._is_forked = not is_measured and not is_told
        self.process: subprocess.Popen[bytes] | Forked | None = None

    def start(self) -> Self:
        """Starts the service and waits until it is ready; may be called again after it ended."""
        said = len(self.logs())
        self._frames = self._frames or Path(tempfile.mkdtemp(prefix="presence-frames-"))
        self.process = self._begin({"PRESENCE_PORT": str(self.port), PLACE: str(self._frames / "log")})
        deadline = time.monotonic() + READY_DEADLINE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            listens = re.search(r"listens on http://\S+:(\d+)", self.logs()[said:])
            self.port = int(listens[1]) if listens else self.port
            if listens and self.get_status("/readyz") == 200:
                return self
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"the service did not get ready:\n{self.logs()}")

    def _begin(self, env: dict[str, str]) -> subprocess.Popen[bytes] | Forked:
        if self._is_forked:
            return fork(self._arguments, self._env | env, self._log.fileno())
        return subprocess.Popen(
            self._command,
            cwd=self._cwd,
            env=self._env | env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def get_status(self, path: str) -> int:
        """The status of a GET; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=2) as reply:  # noqa: S310
                return int(reply.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def logs(self) -> str:
        """All that the service has said so far, on either output, over all its starts."""
        time.sleep(LOG_S)
        return os.pread(self._log.fileno(), 10_000_000, 0).decode(errors="replace")

    def terminate(self, sig: int = signal.SIGTERM) -> int:
        """Asks the parent process to end, waits, and returns its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(STOP_DEADLINE_S)

    def kill(self) -> None:
        """kill -9 of the parent and of its workers: nothing of it is left to say goodbye."""
        assert self.process is not None
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_DEADLINE_S)

    def close(self) -> None:
        """Ends what still runs, holds what it has told to /asyncapi.json, and throws its logs away."""
        if self.process is not None:
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                self.kill()
        self._log.close()
        if self._frames is not None:
            try:
                check_log(self._frames / "log")
            finally:
                shutil.rmtree(self._frames)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def wait_until(holds: Callable[[], bool], *, within_s: float = 30.0, pause_s: float = 0.1) -> None:
    """Asks again and again until it holds. Fails when that takes too long."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"this did not come true within {within_s:.0f} s")
        time.sleep(pause_s)
