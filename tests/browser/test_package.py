"""The npm package: what is in it, that tools understand it, that its version is the service's."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from presence_svc import __version__
from tests import rig
from tests.contents import Archive, said_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

BADGE = rig.ROOT / "presence_svc/badge"
PACKAGE = json.loads((BADGE / "package.json").read_text())
# What `files` leaves out: what the package is made and checked with.
AT_HOME = {"build.mjs", "globals.d.ts", "custom-elements-manifest.config.mjs", ".npmrc", ".gitignore"}
AT_HOME |= {"live-viewer-badge-react.js", *(path.name for path in BADGE.glob("tsconfig*.json"))}


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rig.npm_pack(tmp_path_factory.mktemp("package"))


def test_it_has_the_version_of_the_service() -> None:
    """One number: the page and the service that it talks to are of one release."""
    assert PACKAGE["version"] == __version__


def test_types_come_first() -> None:
    """TypeScript takes the first condition that fits."""
    for name, target in PACKAGE["exports"].items():
        if isinstance(target, dict):
            assert list(target) == ["types", "default"], name


def test_it_has_what_it_needs_and_no_more(tarball: Path) -> None:
    """Every file of the folder that is not for making it; nothing of node_modules."""
    with tarfile.open(tarball) as archive:
        packed = {name.removeprefix("package/") for name in archive.getnames()}
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "."],
        cwd=BADGE,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert packed == {name for name in listed if (BADGE / name).exists()} - AT_HOME
    assert tarball.stat().st_size < 100_000
    found = Archive.of_tarball(tarball).only(lambda name: True)
    assert found == pytest.approx(said_of("npm `live-viewer-badge`"), rel=0.25)


def test_publint_is_content(tarball: Path, tools: Path) -> None:
    """Errors, warnings and suggestions."""
    done = subprocess.run(
        [tools / "node_modules/.bin/publint", "--strict", tarball],
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "All good" in done.stdout


def test_the_types_are_right(tarball: Path, tools: Path) -> None:
    """By every way of resolving that knows ES modules."""
    attw = str(tools / "node_modules/.bin/attw")
    command = [attw, str(tarball), "--profile", "esm-only", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert set(json.loads(done.stdout)["analysis"]["entrypoints"]) == set(PACKAGE["exports"])
