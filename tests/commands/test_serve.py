"""How `serve` starts in an environment that is not all its own, and how signals end it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.live.eventually import eventually
from tests.rig import ROOT, Service, wait_until
from tests.server.raw import talk

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

    assert service.logs().count("ignored environment variables") == 1
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


ASK = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def test_sighup_ends_one_process_in_order(spawn_service: Callable[..., Service]) -> None:
    """As SIGTERM does: nobody is there to take its place."""
    service = spawn_service({"PRESENCE_WORKERS": "1"})
    assert service.process is not None

    service.process.send_signal(signal.SIGHUP)

    assert service.process.wait(15) == 0


@pytest.mark.timeout(90)
async def test_sighup_cuts_nobody_off(spawn_service: Callable[..., Service]) -> None:
    """Several workers are replaced one by one, and every request is answered: on new connections and old."""
    service = spawn_service({"PRESENCE_WORKERS": "2"})
    before = _workers(service.pid)
    seen: Counter[int] = Counter()
    is_over = False

    async def asks_again(http: httpx2.AsyncClient) -> None:
        while not is_over:
            seen[(await http.get(f"{service.url}/livez")).status_code] += 1
            await asyncio.sleep(0.01)

    async def asks_late() -> None:
        """As a client does on a busy machine: it has connected long before it speaks."""
        while not is_over:
            seen.update(
                (await talk(service.port, b"", then=[ASK], pause_s=0.05, patience_s=20)).statuses or [0]
            )

    async with httpx2.AsyncClient(timeout=20) as http, asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(asks_again(http))
        for _ in range(8):
            tasks.create_task(asks_late())
        os.kill(service.pid, signal.SIGHUP)
        # All that were there have ended, and as many serve.
        await eventually(
            "both are replaced", lambda: len(_workers(service.pid) - before) == 2, within_s=60, every_s=0.05
        )
        await eventually("the old have ended", lambda: not _workers(service.pid) & before, within_s=60)
        is_over = True

    assert set(seen) == {200}
    assert service.get_status("/readyz") == 200


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_worker_that_cannot_be_replaced_goes_on(
    spawn_service: Callable[..., Service], tmp_path: Path
) -> None:
    """The program on the disk may be broken by now: SIGHUP must not end what still serves."""
    broken = tmp_path / "broken"
    code = f"import os, sys\nif os.path.exists({str(broken)!r}): sys.stderr.write('broken'); os._exit(1)\n"
    (tmp_path / "sitecustomize.py").write_text(code)
    service = spawn_service({"PRESENCE_WORKERS": "2", "PYTHONPATH": f"{tmp_path}:{ROOT}"})
    before = _workers(service.pid)
    broken.touch()

    os.kill(service.pid, signal.SIGHUP)
    wait_until(lambda: "did not start, so that worker" in service.logs())

    assert _workers(service.pid) == before
    assert service.get_status("/readyz") == 200
    broken.unlink()
    os.kill(service.pid, signal.SIGHUP)
    wait_until(lambda: len(_workers(service.pid) - before) == 2)


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_restart_that_waits_for_a_worker_can_be_ended(spawn_service: Callable[..., Service]) -> None:
    """The worker has minutes to drain; the parent hears signals meanwhile, and a second one ends all."""
    service = spawn_service({"PRESENCE_WORKERS": "2", "PRESENCE_DRAIN_DELAY": "120"})
    os.kill(service.pid, signal.SIGHUP)
    wait_until(lambda: service.get_status("/readyz") == 503)

    def has_ended() -> bool:
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        return service.process.poll() is not None

    wait_until(has_ended, within_s=25, pause_s=1)


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
