"""The TypeScript types of the API in the npm package are those that its description makes.

`python -m tests.web.api.test_types` makes them anew.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import pytest

from presence_svc.web.api.openapi import document
from presence_svc.web.api.routes import ROUTES
from tests.rig import ROOT, npm_packages

TYPES = ROOT / "presence_svc/badge/api.d.ts"
PAGE = """
import type { components, paths } from "./api.d.ts";
type Count = paths["/v1/courses/{course_id}/count"]["get"]["responses"]["200"]["content"]["application/json"];
declare const count: Count;
const total: number = count.total;
const viewers: components["schemas"]["ViewersEvent"] = { course_id: "c", viewers: [], total, version: 1 };
const said: components["schemas"]["JoinMessage"] = { type: "join", viewer_id: "u1", viewers: 5 };
// @ts-expect-error no such field
count.watchers;
export { said, viewers };
"""


def generated(tools: Path) -> str:
    """By openapi-typescript, from the description with AUTH=jwt."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "openapi.json").write_text(json.dumps(document(ROUTES)))
        command = [str(tools / "node_modules/.bin/openapi-typescript"), "openapi.json", "-o", "api.d.ts"]
        command.append("--default-non-nullable=false")  # a field with a default may be left out
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
        return (Path(folder) / "api.d.ts").read_text()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_they_have_not_drifted(tools: Path) -> None:
    """A route or a field that changes changes them: `python -m tests.web.api.test_types`."""
    assert TYPES.read_text() == generated(tools)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_strict_program_uses_them(tools: Path, tmp_path: Path) -> None:
    """Paths by their template, frames by their name; a field that is none is an error."""
    (tmp_path / "api.d.ts").write_text(TYPES.read_text())
    (tmp_path / "page.ts").write_text(PAGE)
    options = [
        "--strict",
        "--noEmit",
        "--target",
        "es2022",
        "--module",
        "esnext",
        "--moduleResolution",
        "bundler",
    ]
    options += ["--allowImportingTsExtensions", "--skipLibCheck", "false"]

    done = subprocess.run(
        [str(tools / "node_modules/.bin/tsc"), *options, "page.ts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout


if __name__ == "__main__":
    TYPES.write_text(generated(npm_packages(ROOT / "tests/tools", "publint")))
