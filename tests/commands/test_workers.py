"""What the parent of several workers makes of their ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn

from presence_svc.commands import workers


@pytest.mark.parametrize(("codes", "status"), [((0, 0), 0), ((0, -9), 0), ((0, 3), 3)])
def test_a_worker_that_cannot_start_is_the_parents_failure(
    codes: tuple[int, ...], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor must not report success for an app that never ran."""
    made = cast(Any, workers.Workers).__new__(workers.Workers)
    made.processes = [SimpleNamespace(exitcode=code) for code in codes]
    monkeypatch.setattr(workers.Workers, "run", lambda self: None)

    assert made.serve() == status


def test_an_app_that_cannot_be_made_ends_with_the_status_that_stops_the_parent() -> None:
    """Any other status would make the supervisor start the same failure again, many times a second."""
    with pytest.raises(SystemExit) as ended, workers.startup():
        raise RuntimeError("broken")

    assert ended.value.code == uvicorn.config.STARTUP_FAILURE
