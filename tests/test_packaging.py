"""What is shipped works where nothing else is: pins, wheel, image and the commands of the README."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from contextlib import ExitStack
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from redis import Redis

from tests.contents import Archive, said_of
from tests.rig import ROOT, Service, copy_clone, free_port, need

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines()]
INSTALL = "pip install -c constraints.txt -e '.[{}]' && {}"
FIRST_COMMAND = INSTALL.format("embedded", "presence-svc demo")
TEST_COMMAND = INSTALL.format("test", "pytest -n auto")
PREFIX = "/opt/presence"
FOR_BUILDING = (".*", "*.mjs", "globals.d.ts", "tsconfig*.json")


def _required() -> list[Requirement]:
    extras = [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
    found = [Requirement(line) for line in [*PROJECT["dependencies"], *extras]]
    return [requirement for requirement in found if requirement.name != PROJECT["name"]]


class Image:
    """The Dockerfile's instructions, told apart: (stage, instruction, arguments)."""

    def __init__(self, text: str) -> None:
        joined = re.sub(r"\\\n\s*", " ", text)
        lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
        stage = -1
        self.steps: list[tuple[int, str, str]] = []
        for line in lines:
            instruction, _, arguments = line.partition(" ")
            stage += instruction == "FROM"
            self.steps.append((stage, instruction, arguments.strip()))

    def of(self, stage: int, instruction: str) -> list[str]:
        return [text for at, name, text in self.steps if (at, name) == (stage, instruction)]


IMAGE = Image((ROOT / "Dockerfile").read_text())


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a stranger gets: the files that git knows, and nothing that lies around."""
    return copy_clone(tmp_path / "clone")


@pytest.fixture
def fresh_bin(tmp_path: Path) -> Path:
    """The bin directory of a venv with nothing but pip in it."""
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    return tmp_path / "venv" / "bin"


def _environment(fresh_bin: Path, **more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PRESENCE_", "PYTHON"))}
    return kept | {"PATH": f"{fresh_bin}:{os.environ['PATH']}"} | more


def _sh(command: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=cwd, env=env, capture_output=True, text=True, timeout=400, check=False
    )


def _json(text: str) -> list[str]:
    found: list[str] = json.loads(text)
    return found


class Installed(Service):
    """A command of an installed package, run as it stands, away from the source."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str]) -> None:
        super().__init__(env)
        self._command = command
        self._cwd = cwd
        self._env = env


def test_every_dependency_is_pinned_by_a_version_that_it_allows() -> None:
    """A clean clone installs what was tested: each requirement has its pin, and the pin fits it."""
    pinned = {canonicalize_name(pin.name): pin for pin in PINS}

    for requirement in _required():
        pin = pinned[canonicalize_name(requirement.name)]
        (only,) = pin.specifier
        assert only.operator == "=="
        assert requirement.specifier.contains(only.version), requirement.name


def test_pins_name_no_place_and_no_hash() -> None:
    """Registries differ from place to place, and hashes would refuse `-e .`."""
    text = (ROOT / "constraints.txt").read_text()

    assert not re.search(r"://|--|@|\bsha256", text)
    assert all(len(pin.specifier) == 1 for pin in PINS)


def test_readme_and_ci_say_the_same_two_commands() -> None:
    """CI runs the test command of the README, and the first command is the one tried below."""
    readme = (ROOT / "README.md").read_text()
    ci = (ROOT / ".ci" / "run").read_text()

    assert FIRST_COMMAND in readme
    assert TEST_COMMAND in readme
    assert TEST_COMMAND in ci


def test_ci_checks_what_the_badge_is_built_from() -> None:
    """A step of its own, with scripts that are there: stale bundles and wrong types fail it."""
    ci = (ROOT / ".ci" / "run").read_text()
    scripts = json.loads((ROOT / "presence_svc/badge/package.json").read_text())["scripts"]

    (step,) = re.findall(r'step badge "(.+)"', ci)

    assert set(re.findall(r"npm run ([\w-]+)", step)) == {"check", "compare"} <= scripts.keys()


def test_ci_names_packages_and_no_places() -> None:
    """It runs on any new machine: programs come from that machine's own lists, from no host and no path."""
    for script in (ROOT / ".ci").iterdir():
        assert not re.search(r"://|/work/|/home/", script.read_text()), script.name


def test_image_runs_as_nobody_special_and_pinned() -> None:
    """Non-root, from pinned versions, built apart from what is shipped."""
    assert len(IMAGE.of(-1, "ARG")) == 1
    assert [stage for stage, name, _ in IMAGE.steps if name == "FROM"] == [0, 1]
    assert all("-c constraints.txt" in run for run in IMAGE.of(0, "RUN") if "pip install" in run)
    assert IMAGE.of(1, "USER") == ["10001"]
    assert "pip install" not in " ".join(IMAGE.of(1, "RUN"))


def test_image_says_where_the_list_of_its_parts_is() -> None:
    """The label's path is the one that the build writes, and it is copied with the rest."""
    (labels,) = IMAGE.of(1, "LABEL")
    said = dict(pair.split("=", 1) for pair in shlex.split(labels))

    path = said["presence-svc.sbom"]
    assert path.startswith(PREFIX)
    assert any(f"--output-file {path} " in run for run in IMAGE.of(0, "RUN"))
    assert (said["org.opencontainers.image.title"], said["org.opencontainers.image.licenses"]) == (
        PROJECT["name"],
        PROJECT["license"],
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_first_command_of_the_readme_serves(clone: Path, fresh_bin: Path) -> None:
    """In a clean clone and a fresh venv, one line runs the service with nothing else installed."""
    install, run = FIRST_COMMAND.split(" && ")
    env = _environment(fresh_bin, TMPDIR=str(fresh_bin.parent))
    installed = _sh(install, clone, env)
    assert installed.returncode == 0, installed.stderr

    with Installed([str(fresh_bin / "presence-svc"), *shlex.split(run)[1:]], clone, env) as demo:
        assert all(demo.get_status(f"/{page}") == 200 for page in ("demo", "dashboard", "docs"))


def _is_for_building(path: str) -> bool:
    """Whether it is for making and checking the badge, beside its sources."""
    return any(fnmatch(path, f"presence_svc/badge/{pattern}") for pattern in FOR_BUILDING)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_wheels_carry_what_they_need_and_no_more(clone: Path, fresh_bin: Path, tmp_path: Path) -> None:
    """Scripts, pages, badge and type marker; no tests, no build files; the client's nothing of the server."""
    wheels = tmp_path / "wheels"
    built = _sh(f"pip wheel --no-deps -w {wheels} . ./packages/client", clone, _environment(fresh_bin))
    assert built.returncode == 0, built.stderr

    whole, lean = (
        Archive.of_wheel(next(wheels.glob(f"{name}-*"))) for name in ("presence_svc", "presence_svc_client")
    )
    files = {path.relative_to(clone).as_posix() for path in clone.glob("presence_svc/**/*") if path.is_file()}
    told = {name for name in whole.sizes if ".dist-info/" not in name}
    assert told == {name for name in files if "__pycache__" not in name and not _is_for_building(name)}
    assert {"presence_svc/py.typed", "presence_svc/badge/package.json"} <= told
    rooms = {name.split("/")[1] for name in lean.sizes if name.startswith("presence_svc/")}
    assert not {"app.py", "auth", "badge", "cli.py", "commands", "server", "web"} & rooms

    pages, vendor = "presence_svc/web/pages/static/", "presence_svc/web/pages/static/vendor/"
    code = (".py", ".lua")
    for part, found in {
        "wheel `presence-svc`": whole.only(lambda name: True),
        "its Python modules and Lua scripts": whole.only(lambda name: name.endswith(code)),
        "its pages without Swagger UI": whole.only(
            lambda name: name.startswith(pages) and not name.startswith(vendor)
        ),
        "Swagger UI, for `/docs`": whole.only(lambda name: name.startswith(vendor)),
        "the badge: bundle, types, sources": whole.only(lambda name: name.startswith("presence_svc/badge/")),
        "wheel `presence-svc-client`": lean.only(lambda name: True),
    }.items():
        assert found == pytest.approx(said_of(part), rel=0.25), part


@pytest.fixture
def debian_redis() -> Iterator[str]:
    """Debian's Redis on TCP, as a container would meet it: at an address."""
    port = free_port()
    with ExitStack() as stack:
        command = [need("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        stack.callback(process.terminate)
        client = stack.enter_context(Redis(port=port))
        assert client.ping()
        yield f"redis://127.0.0.1:{port}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_image_commands_work_in_a_fresh_venv(clone: Path, tmp_path: Path, debian_redis: str) -> None:
    """The Dockerfile's own lines build, refuse what must be refused, serve, and find themselves healthy."""
    source, prefix = tmp_path / "src", tmp_path / "opt"
    source.mkdir()
    env = _environment(prefix / "bin")
    bin_of_image = tmp_path / "python"
    bin_of_image.mkdir()
    (bin_of_image / "python").symlink_to(sys.executable)
    for copied in IMAGE.of(0, "COPY"):
        *names, target = copied.split()
        for name in names:
            _sh(f"cp -r {shlex.quote(str(clone / name))} {target}", source, env)
    for command in IMAGE.of(0, "RUN"):
        done = _sh(command.replace(PREFIX, str(prefix)), source, _environment(bin_of_image))
        assert done.returncode == 0, done.stderr

    parts = {part["name"] for part in json.loads((prefix / "sbom.cdx.json").read_text())["components"]}
    assert {"redis", "starlette", "uvicorn"} <= parts
    assert not {"pytest", "cyclonedx-bom", "opentelemetry-sdk"} & parts

    given = dict(pair.split("=", 1) for line in IMAGE.of(1, "ENV") for pair in shlex.split(line))
    env |= given | {"PATH": given["PATH"].replace(PREFIX, str(prefix)).replace("$PATH", env["PATH"])}
    (entry,), (command,) = IMAGE.of(1, "ENTRYPOINT"), IMAGE.of(1, "CMD")
    run = [
        str(prefix / "bin" / name) if name == "presence-svc" else name
        for name in _json(entry) + _json(command)
    ]
    refused = _sh(shlex.join(run), tmp_path, env)
    assert (refused.returncode, "PRESENCE_AUTH" in refused.stderr) == (2, True)
    local = env | {"PRESENCE_HOST": "127.0.0.1"}
    refused = _sh(shlex.join(run), tmp_path, local)
    assert (refused.returncode, "PRESENCE_REDIS_URL" in refused.stderr) == (2, True)

    with Installed(run, tmp_path, local | {"PRESENCE_REDIS_URL": debian_redis}) as service:
        check = _json(IMAGE.of(1, "HEALTHCHECK")[0].partition("CMD ")[2])
        at = local | {"PRESENCE_PORT": str(service.port)}
        assert _sh(shlex.join(check), tmp_path, at).returncode == 0
        assert service.terminate(signal.SIGTERM) == 0
        assert _sh(shlex.join(check), tmp_path, at).returncode != 0
