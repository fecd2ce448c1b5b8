"""The description at /openapi.json against the service: what fits it is taken, what does not is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import SpawnService
from tests.rig import need

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

HOOKS = '''
import schemathesis


@schemathesis.hook
def filter_query(context, query):
    """A cursor is given out by the service: no schema says which text is one."""
    return "cursor" not in (query or {})


@schemathesis.hook
def filter_body(context, body):
    """Nor which text is an https address without credentials."""
    return not (isinstance(body, dict) and isinstance(body.get("avatar_url"), str))
'''
# Zones, moments and cursors are texts that no schema describes, nor that one of two parameters must be there.
# What is wrong with each is held by tests/web/api/test_history.py and test_titles.py.
TEXTS_OF_OUR_OWN = ("--exclude-checks", "negative_data_rejection,positive_data_acceptance")
EACH_ITEM_HAS_ITS_OWN_RESULT = ("--exclude-checks", "negative_data_rejection")


@pytest.mark.parametrize(
    "options",
    [
        ("--exclude-path-regex", "(live|ws|heartbeats?|titles|stats|viewers)$|/history"),
        ("--include-path-regex", "(titles|stats|viewers)$|/history", *TEXTS_OF_OUR_OWN),
        # The coverage phase asks no hook which pictures' addresses are good.
        ("--include-path-regex", "heartbeat$", "--phases", "fuzzing,stateful"),
        ("--include-path", "/v1/heartbeats", *EACH_ITEM_HAS_ITS_OWN_RESULT),
    ],
    ids=["all but streams", "history", "heartbeat", "batch"],
)
def test_the_service_is_what_it_says(
    spawn_service: SpawnService, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Every check of schemathesis, twenty-five examples an operation, the same ones each time."""
    program = need("schemathesis")
    service = spawn_service({"PRESENCE_REQUEST_DEADLINE": "2"})
    (tmp_path / "hooks.py").write_text(HOOKS)

    how = ("--checks", "all", "--max-examples", "25", "--seed", "1", "--no-color")
    ran = subprocess.run(
        [program, "run", f"{service.url}/openapi.json", *how, *options],
        cwd=tmp_path,
        env={"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path), "PATH": str(Path(program).parent)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout[-6_000:] + ran.stderr[-1_000:]
