"""The embedded server of `serve`: started again when it dies, and never two in one directory."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import httpx2
import pytest

from presence_svc.commands.embedded import server as module
from presence_svc.commands.embedded.server import embedded_server
from presence_svc.errors import Misconfigured
from tests.conftest import SpawnService
from tests.rig import Service, wait_until


def _server_of(service: Service) -> int:
    """The pid of the server itself: below its keeper, and no shell."""
    for keeper in _children(service.pid):
        for child in _children(keeper):
            if "sock" in Path(f"/proc/{child}/cmdline").read_text() and _name(child) != "sh":
                return child
    raise AssertionError("no server is there")


def _children(pid: int) -> list[int]:
    """Of all its threads."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _beat(service: Service, viewer: str) -> int:
    body = json.dumps({"viewer_id": viewer}).encode()
    headers = {"content-type": "application/json"}
    try:
        reply = httpx2.post(f"{service.url}/v1/courses/c1/heartbeat", content=body, headers=headers)
    except httpx2.HTTPError:
        return 0
    return int(reply.json().get("total", 0))


@pytest.mark.parametrize("kept", [True, False])
def test_a_server_that_was_killed_is_started_again(
    spawn_service: SpawnService, tmp_path: Path, kept: bool
) -> None:
    """The system kills what takes most memory: nobody else would start it, and /livez stays 200."""
    service = spawn_service(command=["serve", *(["--data", str(tmp_path / "d")] if kept else [])])
    assert _beat(service, "u1") == 1
    before = _server_of(service)

    os.kill(before, signal.SIGKILL)

    wait_until(lambda: _beat(service, "u2") == (2 if kept else 1))
    wait_until(lambda: service.get_status("/readyz") == 200)
    assert _server_of(service) != before
    assert service.logs().count("the embedded server has ended") == 1
    assert service.terminate() == 0


def test_a_directory_is_for_one(tmp_path: Path) -> None:
    """Two servers would write the same file, and after a restart neither's data would be whole."""
    in_use = pytest.raises(Misconfigured, match="in use by another")
    with embedded_server(tmp_path), in_use, embedded_server(tmp_path):
        pass
    with embedded_server(tmp_path):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Not a traceback."""
    tmp_path.chmod(0o500)
    with pytest.raises(Misconfigured, match="cannot be written"), embedded_server(tmp_path / "d"):
        pass


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    """As above."""
    (tmp_path / "d").write_text("")
    with pytest.raises(Misconfigured, match="cannot be written"), embedded_server(tmp_path / "d"):
        pass


def test_it_is_tried_again_when_it_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where memory is short it may take a while."""
    monkeypatch.setattr(module, "CHECK_S", 0.05)
    with embedded_server() as server:
        start, tries = server.start, iter([Misconfigured("no"), OSError("no")])

        def fail_twice() -> str:
            error = next(tries, None)
            if error is not None:
                raise error
            return start()

        monkeypatch.setattr(server, "start", fail_twice)
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: caplog.text.count("cannot be started") == 2)
        wait_until(lambda: server.pid != 0 and not server.has_ended)
