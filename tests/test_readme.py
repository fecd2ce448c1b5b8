"""What the README says is so: its curl lines work, its settings are the code's, its files exist."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from presence_svc.settings import ENV_PREFIX, Settings
from tests.rig import ROOT, Service, need

README = (ROOT / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8000"
CURLS = [line for line in README.splitlines() if line.startswith("curl ")]


def default(value: Any) -> str:
    """A setting's default, as the table shows it."""
    if value is None or value is PydanticUndefined or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def table() -> str:
    """The settings table as it follows from the code. To renew it: python -m tests.test_readme."""
    rows = ["| variable | default | what it is |", "|---|---|---|"]
    fields = Settings.model_fields
    own = [name for name in fields if name in Settings.__annotations__]
    for name in sorted(fields, key=lambda name: name not in own):
        field = fields[name]
        shown = f"`{default(field.default)}`" if default(field.default) else ""
        rows.append(f"| `{ENV_PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def test_every_setting_is_in_the_table() -> None:
    """The table of settings is the one that follows from the code."""
    assert table() in README


def test_curl_lines_work_as_they_stand(spawn_service: Callable[..., Service], redis_url: str) -> None:
    """Each curl line of the README answers without an error, in the order of the page."""
    need("curl")
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})
    assert len(CURLS) >= 9

    for line in CURLS:
        words = shlex.split(line.replace(ADDRESS, service.url))
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode in (0, 28), line  # 28: a stream that -m has ended
        assert '"status":4' not in done.stdout, (line, done.stdout)
        assert done.stdout or "leave" in line or "DELETE" in line, line


def test_the_channel_example_is_a_message() -> None:
    """S8: the example has the fields of the contract, in its order."""
    (example,) = re.findall(r"```json\n(.*?)\n```", README, re.S)

    fields = "type course_id total named anonymous chapters version as_of"
    assert list(json.loads(example)) == fields.split()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:presence_svc|tests)/[\w./-]+)`", README))))
def test_files_that_are_named_exist(path: str) -> None:
    """Every path that the README names is there."""
    assert (ROOT / path).exists()


if __name__ == "__main__":
    page = re.sub(r"\| variable \| default.*?\n\n", lambda _: table() + "\n\n", README, flags=re.S)
    (ROOT / "README.md").write_text(page)
