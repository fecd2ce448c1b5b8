"""The client alone: what it loads, and the distribution that has it without the server."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import presence_svc.client
from tests.client.conftest import KEY
from tests.rig import ROOT, Service

LEAN = ROOT / "packages/client"
PROJECT = tomllib.loads((LEAN / "pyproject.toml").read_text())["project"]
OF_THE_SERVER = "starlette uvicorn typer rich prometheus_client joserfc httptools websockets uvloop"
OF_WATCHING = "redis hiredis cryptography pydantic_settings"
BLOCKED = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {words!r}.split():
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refused())
import presence_svc.client
for name in {names!r}:
    getattr(presence_svc.client, name)
"""
WATCHERS = {"watch", "watch_sync", "BlockingWatch", "watch_all"}


def loads(names: set[str], without: str) -> None:
    code = BLOCKED.format(words=without, names=sorted(names))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_calls_need_nothing_of_the_server_or_of_redis() -> None:
    """httpx2, pydantic and orjson do: a Django process loads no more."""
    loads(set(presence_svc.client.__all__) - WATCHERS, without=f"{OF_THE_SERVER} {OF_WATCHING}")


def test_watching_needs_nothing_of_the_server() -> None:
    """Redis and settings are loaded, and no framework."""
    loads(set(presence_svc.client.__all__), without=OF_THE_SERVER)


def test_the_package_has_what_it_says() -> None:
    """Every public name is found, and no other."""
    assert all(hasattr(presence_svc.client, name) for name in presence_svc.client.__all__)
    assert set(presence_svc.client.__all__) <= set(dir(presence_svc.client))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = presence_svc.client.Nothing


def test_the_lean_distribution_asks_for_what_the_service_asks_for() -> None:
    """The same bounds: one set of pins fits both."""
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert set(PROJECT["dependencies"]) <= set(whole["dependencies"])
    assert set(PROJECT["optional-dependencies"]["watch"]) <= set(whole["dependencies"])
    assert PROJECT["requires-python"] == whole["requires-python"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_lean_distribution_works_alone(service: Service, course: str, tmp_path: Path) -> None:
    """Built, installed in a fresh venv with its own dependencies, it calls a service."""
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    python = str(tmp_path / "venv/bin/python")

    def do(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    do(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", "wheels", str(LEAN))
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    do(python, "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), str(wheel))
    calls = (
        "from presence_svc.client import PresenceClient\n"
        f"with PresenceClient({service.url!r}, api_key={KEY!r}) as presence:\n"
        f"    print(presence.heartbeat({course!r}, viewer_id='u1').total)\n"
    )

    assert do(python, "-c", calls).strip() == "1"
    assert not [name for name in names if name.startswith(("presence_svc/server", "presence_svc/web"))]
    installed = do(python, "-m", "pip", "list", "--format=freeze").lower()
    assert not [word for word in OF_THE_SERVER.split() if f"\n{word}==" in installed]
