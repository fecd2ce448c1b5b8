"""Services as forks of a process that has imported them (tests/fork_server.py). Used by tests/rig.py."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Forked:
    """A process that is no child of ours, with what tests use of subprocess.Popen."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid, self._status = pid, status
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises subprocess.TimeoutExpired."""
        if self._look(timeout) is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            ready = select.poll()
            ready.register(self._status, select.POLLIN)
            if ready.poll(None if timeout is None else timeout * 1_000):
                self.returncode = int(os.read(self._status, 16))  # empty only if the fork server was killed
                os.close(self._status)
        return self.returncode


def fork(arguments: Sequence[str], env: Mapping[str, str], output: int, errors: int | None = None) -> Forked:
    """`python -m tests.service ARGUMENTS`, in its own session; it writes to these files."""
    server = _server()
    request = json.dumps({"arguments": arguments, "cwd": str(ROOT), "env": dict(env)}).encode() + b"\n"
    ended, ends = os.pipe()
    with _one_at_a_time:
        sent = socket.send_fds(server, [request], [output, output if errors is None else errors, ends])
        server.sendall(request[sent:])
        os.close(ends)
        return Forked(int(server.recv(16)), ended)


def run(*arguments: str, env: Mapping[str, str], timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """A command to its end. Raises subprocess.TimeoutExpired."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = fork(arguments, env, output.fileno(), errors.fileno())
        try:
            process.wait(timeout_s)
        finally:
            process.kill()
        for file in (output, errors):
            file.seek(0)
        return subprocess.CompletedProcess(arguments, process.wait(), output.read(), errors.read())


_one_at_a_time = threading.Lock()


@cache
def _server() -> socket.socket:
    """One for this process; it ends when this end of its socket is closed."""
    ours, its = socket.socketpair()
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PRESENCE_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fork_server", str(its.fileno())],
        cwd=ROOT,
        env=clean | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[its.fileno()],
        start_new_session=True,
    )
    its.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours
