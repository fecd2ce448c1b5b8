"""How `serve` starts in an environment that is not all its own, and how signals end it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.rig import ROOT, Service, wait_until

SERVE = (sys.executable, "-m", "presence_svc", "serve")

LINKS = {
    "PRESENCE_SERVICE_HOST": "10.0.0.1",
    "PRESENCE_SERVICE_PORT": "8000",
    "PRESENCE_SVC_PORT": "tcp://10.0.0.1:8000",
    "PRESENCE_REDIS_URL_SERVICE_HOST": "10.0.0.2",
}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_variables_of_others_are_named_once(spawn_service: Callable[..., Service], workers: str) -> None:
    """By the parent: each worker reads the same environment."""
    service = spawn_service(LINKS | {"PRESENCE_WORKERS": workers, "PRESENCE_REDIS_URL": ""})

    assert service.logs().count("ignored, because no setting has") == 1
    assert all(name in service.logs() for name in LINKS)


SILENT = "redis://192.0.2.1:6379"  # an address for examples: nobody is there


def test_sigterm_is_heard_from_the_start() -> None:
    """A container's first process hears of no signal without a handler: it would be killed instead."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        env = {**os.environ, "PRESENCE_REDIS_URL": f"redis://127.0.0.1:{port}", "PRESENCE_PORT": "0"}
        process = subprocess.Popen(SERVE, cwd=ROOT, env=env, stderr=subprocess.PIPE)
        silent.settimeout(30)
        looking, _ = silent.accept()  # at Redis: it has not begun to listen

        process.send_signal(signal.SIGTERM)
        with looking:
            _, said = process.communicate(timeout=20)

    assert process.returncode == 0
    assert b"Traceback" not in said


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sighup_cuts_nobody_off(spawn_service: Callable[..., Service], workers: str) -> None:
    """One process ends in order, as by SIGTERM; several are replaced one by one, and serve."""
    service = spawn_service({"PRESENCE_WORKERS": workers})
    before = _workers(service.pid)

    service.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]

    if workers == "1":
        assert service.process is not None
        assert service.process.wait(15) == 0
        return
    seen: set[int] = set()

    def are_others() -> bool:
        seen.add(service.get_status("/livez"))
        return len(_workers(service.pid) - before) == 2

    wait_until(are_others, pause_s=0.05)
    wait_until(lambda: service.get_status("/readyz") == 200)
    assert seen == {200}


def _workers(pid: int) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return {child for child, line in lines.items() if b"spawn_main" in line}


@pytest.mark.parametrize(
    ("env", "named"),
    [({"PRESENCE_WORKERS": "2", "PRESENCE_REDIS_URL": SILENT}, "PRESENCE_WORKERS"), ({}, "embedded server")],
)
def test_a_read_only_file_system_is_one_sentence(env: dict[str, str], named: str) -> None:
    """Containers have them: what is missing is said, and what to do."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PRESENCE_")}
    hidden = "import sys, tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc/none'];"
    code = f"{hidden} from presence_svc.cli import main; sys.argv[1:] = ['serve']; main()"

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=clean | {"PRESENCE_PORT": "0"} | env,
        capture_output=True,
        text=True,
        timeout=25,
    )

    assert done.returncode == 2
    assert named in done.stderr
    assert "TMPDIR" in done.stderr
    assert "Traceback" not in done.stderr
