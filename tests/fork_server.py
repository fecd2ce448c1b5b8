"""`python -m tests.fork_server FD`: has imported the service, and forks it for each request that FD brings.

Started by tests/forked.py. Most of a start is imports: a forked service costs an eighth of a started one,
and does the same from the reading of its settings on. A request is a line of JSON with `arguments`, `env` and
`cwd`, and three files: both outputs, and where the exit status is written.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from presence_svc import cli
from tests import frame_log
from tests import service as service  # for what it does, here and in workers, which import this module too

# What a start imports only when it needs it.
LATER = (
    "presence_svc.app",
    "presence_svc.commands.demo",
    "presence_svc.commands.serve",
    "presence_svc.server.fast_path",
    "presence_svc.server.websocket",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.loops.uvloop",
)
LARGEST = 65_536


class ForkServer:
    """Ends when whoever started it has ended; the services that it has forked do not."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._statuses: dict[int, int] = {}  # files, by the process whose exit status goes there
        self._ended, self._ends = os.pipe()
        os.set_blocking(self._ends, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # not ignored: else there is no status
        signal.set_wakeup_fd(self._ends)

    def run(self) -> None:
        """Returns in each service that is to run, and at the end."""
        while True:
            ready, _, _ = select.select([self._requests.fileno(), self._ended], [], [])
            if self._ended in ready:
                os.read(self._ended, LARGEST)
                self._reap()
            if self._requests.fileno() in ready:
                data, files, _, _ = socket.recv_fds(self._requests, LARGEST, 3)
                while data and not data.endswith(b"\n"):
                    data += self._requests.recv(LARGEST)
                if not data:
                    sys.exit()
                *outputs, status = files
                if pid := os.fork():
                    self._statuses[pid] = status
                    for file in outputs:
                        os.close(file)
                    self._requests.sendall(b"%d\n" % pid)
                else:
                    self._become(json.loads(data), outputs, status)
                    return

    def _reap(self) -> None:
        while self._statuses:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            file = self._statuses.pop(pid)
            os.write(file, b"%d" % os.waitstatus_to_exitcode(status))
            os.close(file)

    def _become(self, request: dict[str, Any], outputs: list[int], status: int) -> None:
        """In the child: nothing of this server is left."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, file in enumerate(outputs, 1):
            os.dup2(file, number)
        self._requests.close()
        for file in (*outputs, status, self._ended, self._ends, *self._statuses.values()):
            os.close(file)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        sys.argv[1:] = request["arguments"]
        if place := os.environ.get(frame_log.PLACE):
            frame_log.install(Path(place))


if __name__ == "__main__":
    for name in LATER:
        import_module(name)
    ForkServer(socket.socket(fileno=int(sys.argv[1]))).run()
    cli.main()
