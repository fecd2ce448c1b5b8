"""What the parent of several workers makes of their ends."""

from __future__ import annotations

import multiprocessing
import signal
import time
from multiprocessing.connection import Connection
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


def _stubborn(ready: Connection) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready.send(True)
    time.sleep(60)


@pytest.mark.parametrize("again", [[], [signal.SIGINT]])
def test_a_worker_that_does_not_end_is_killed(again: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is over, or a moment after a second signal: nobody waits for it for ever."""
    monkeypatch.setattr(workers, "FORCED_S", 0.2)
    made = cast(Any, workers.Workers).__new__(workers.Workers)
    made.signal_queue, made._patience_s = again, 60 if again else 0.2
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_stubborn, args=(there,))
    process.start()
    made.processes = [SimpleNamespace(process=process, pid=process.pid)]
    assert here.recv()

    made.join_all()

    assert process.exitcode == -signal.SIGKILL
