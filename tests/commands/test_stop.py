"""Ctrl-C and SIGTERM at each step of a start: the service ends in order, and nobody is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from presence_svc.commands.stop import Asked
from tests import rig
from tests.rig import ROOT

pytestmark = pytest.mark.timeout(90)  # processes of our own, perhaps on a busy machine
# Runs `serve`, and signals its own process group just before a function is called for the nth time: as it
# is, or from within a callback in which what a handler raises is dropped.
PROGRAM = """
import os, sys, weakref
import uvicorn.supervisors.multiprocess
from presence_svc.commands import serve, workers

where, count, number, way = sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4]
class Thing: pass

def dropped():
    thing = Thing()
    kept = weakref.ref(thing, lambda _: os.killpg(0, number))
    del thing

def wrapped(*args, **kwargs):
    global count
    count -= 1
    if count == 0:
        dropped() if way == "dropped" else os.killpg(0, number)
    return real(*args, **kwargs)

module, _, name = where.partition(":")
*path, name = name.split(".")
owner = sys.modules[module]
for part in path:
    owner = getattr(owner, part)
real = getattr(owner, name)
setattr(owner, name, wrapped)
serve.run()
"""
SERVE, SUPERVISOR = "presence_svc.commands.serve", "uvicorn.supervisors.multiprocess"
STEPS = [
    (f"{SERVE}:listen", 1),
    ("presence_svc.commands.embedded.server:EmbeddedServer.start", 1),
    (f"{SERVE}:Console", 1),
    (f"{SERVE}:url_of", 1),
    (f"{SERVE}:uvicorn.Config", 1),
]
OF_WORKERS = [
    (f"{SERVE}:metrics_directory", 1),
    (f"{SERVE}:Workers", 1),
    (f"{SUPERVISOR}:Multiprocess.init_processes", 1),
    (f"{SUPERVISOR}:Process.start", 1),
    (f"{SUPERVISOR}:Process.start", 2),
    (f"{SUPERVISOR}:Multiprocess.keep_subprocess_alive", 1),
    (f"{SUPERVISOR}:Process.is_alive", 1),
    (f"{SUPERVISOR}:Process.is_alive", 4),
    (f"{SUPERVISOR}:Process.is_alive", 9),
]


def end(where: str, count: int, workers: int, number: int, way: str) -> tuple[int, str]:
    """The exit status and what was said. The whole group is gone when it returns."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PRESENCE_")}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, where, str(count), str(int(number)), way],
        cwd=ROOT,
        env=clean | {"PRESENCE_WORKERS": str(workers), "PRESENCE_PORT": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=60)
        rig.wait_until(lambda: not is_group(process.pid))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)
    return process.returncode, said.decode()


def is_group(number: int) -> bool:
    """Whether a process of this group is left."""
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_within_a_callback_is_not_lost(workers: int) -> None:
    """Each import ends with a callback that drops exceptions: a signal there, and it would serve for ever."""
    status, said = end(f"{SERVE}:uvicorn.Config", 1, workers, signal.SIGINT, "dropped")

    assert status == 0, said
    assert "Traceback" not in said


def test_a_signal_between_two_workers_ends_both() -> None:
    """One has begun, the other has not: no traceback, nobody is left."""
    status, said = end(f"{SUPERVISOR}:Process.start", 2, 2, signal.SIGINT, "as it is")

    assert status == 0, said
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize(("number", "way"), [(signal.SIGINT, "dropped"), (signal.SIGTERM, "as it is")])
@pytest.mark.parametrize(
    ("where", "count", "workers"),
    [*((*step, 1) for step in STEPS), *((*step, 2) for step in STEPS + OF_WORKERS)],
)
def test_a_signal_at_each_step_is_a_clean_end(
    where: str, count: int, workers: int, number: signal.Signals, way: str
) -> None:
    """Whatever the parent does at that moment."""
    status, said = end(where, count, workers, number, way)

    assert status == 0, said
    assert "Traceback" not in said
    assert "Exception ignored" not in said


def test_a_wish_to_end_is_seen_while_signals_are_blocked() -> None:
    """The step that replaces every worker blocks interrupts: it must not go on with the next one."""
    asked = Asked([])
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        assert not asked.is_set()

        signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # no other thread may take it

        assert asked.is_set()
    finally:
        signal.sigtimedwait({signal.SIGINT}, 1)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert Asked([signal.SIGTERM]).is_set()
    assert not Asked([signal.SIGHUP]).is_set()
