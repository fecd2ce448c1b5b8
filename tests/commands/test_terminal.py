"""Commands in a real terminal and in pipes: nothing to talk to, Ctrl-C, JSON, completion, contradictions."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.rig import ROOT, Service

COURSE = "c1"
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"
JWT = {"PRESENCE_AUTH": "jwt", "PRESENCE_JWT_SECRET": "s" * 32, "PRESENCE_JWT_AUDIENCE": "presence"}


def environment(env: dict[str, str]) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PRESENCE_")}
    return clean | {"TERM": "xterm", "COLUMNS": "100"} | env


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "presence_svc", *args]
    return subprocess.run(
        command, cwd=ROOT, env=environment(env), capture_output=True, text=True, timeout=60, check=False
    )


class Screen:
    """What a program in a terminal has written so far."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process, self._master = process, master
        self.seen = b""

    def until(self, text: bytes, within_s: float = 30) -> None:
        ends_at = time.monotonic() + within_s
        while text not in self.seen:
            assert time.monotonic() < ends_at, self.seen
            self.read()

    def read(self) -> bool:
        try:
            more = os.read(self._master, 65_536)
        except OSError:  # the program has closed its end
            return False
        self.seen += more
        return bool(more)


@contextmanager
def terminal(*args: str, **env: str) -> Iterator[Screen]:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "presence_svc", *args]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(env), stdin=slave, stdout=slave, stderr=slave
    ) as process:
        os.close(slave)
        try:
            yield Screen(process, master)
        finally:
            process.kill()
            os.close(master)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", ["watch", "simulate"])
def test_ctrl_c_leaves_the_terminal_as_it_was(
    spawn_service: Callable[..., Service], redis_url: str, verb: str, number: int
) -> None:
    """The cursor is there again, no traceback, and the status says what has happened."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})
    args = ["watch", COURSE] if verb == "watch" else ["simulate", "--url", service.url, "-n", "3"]
    with terminal(*args, PRESENCE_REDIS_URL=redis_url) as screen:
        screen.until(HIDE)
        screen.process.send_signal(number)
        while screen.read():
            pass
        assert screen.process.wait(20) == 130

    assert b"Traceback" not in screen.seen
    assert screen.seen.rindex(SHOW) > screen.seen.rindex(HIDE)


NOTHING = {
    "no url": ["simulate", "--url", ""],
    "no scheme": ["simulate", "--url", "127.0.0.1:8000"],
    "another scheme": ["simulate", "--url", "redis://127.0.0.1"],
    "no host": ["simulate", "--url", "http://"],
    "a broken url": ["simulate", "--url", "http://[::1"],
    "nobody": ["simulate", "--url", "http://127.0.0.1:1"],
    "no redis named": ["watch", COURSE],
}


@pytest.mark.parametrize("case", NOTHING)
def test_nothing_to_talk_to_is_one_sentence(case: str) -> None:
    """And status 1; no progress bar, no table of zeros."""
    done = run(*NOTHING[case])

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_something_else_at_the_url_is_told_apart(spawn_service: Callable[..., Service]) -> None:
    """A path that is none of the service's."""
    done = run("simulate", "--url", f"{spawn_service().url}/elsewhere")

    assert done.returncode == 1
    assert "is not a presence service" in done.stderr


def test_a_redis_that_is_not_there_is_one_sentence() -> None:
    """Without the password of its URL."""
    done = run("watch", COURSE, PRESENCE_REDIS_URL="redis://:hush-hush@127.0.0.1:1")

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "hush-hush" not in done.stderr


def test_json_is_for_programs(spawn_service: Callable[..., Service], redis_url: str) -> None:
    """Each command that prints data says it in JSON, and nothing else on the same output."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})
    simulated = run("simulate", "--json", "--url", service.url, "-n", "3", "--seconds", "1")
    swept = run("sweep", "--json", PRESENCE_REDIS_URL=redis_url)
    made = run("token", "--json", "ada", **JWT)

    assert json.loads(simulated.stdout)["heartbeat"]["answered"] >= 3
    assert json.loads(simulated.stdout)["errors"] == {}
    assert set(json.loads(swept.stdout)) == {"courses", "viewers"}
    assert json.loads(made.stdout)["token"].startswith("ey")


def test_the_doctor_reads_what_token_makes() -> None:
    """As the docs have it, in a shell's variable."""
    made = run("token", "ada", "--name", "Ada", **JWT)
    told = run("doctor", "--token", made.stdout, **JWT)

    assert "token" in told.stdout
    assert "viewer ada" in told.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete_it(shell: str) -> None:
    """`--install-completion` asks for this script."""
    done = run("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")

    assert done.returncode == 0, done.stderr
    assert "presence" in done.stdout.lower()


def test_data_beside_another_redis_is_refused(tmp_path: Path, redis_url: str) -> None:
    """Nothing would ever be kept there, and nobody told."""
    done = run("serve", "--data", str(tmp_path), PRESENCE_REDIS_URL=redis_url)

    assert done.returncode == 2
    assert "--data" in done.stderr
    assert "PRESENCE_REDIS_URL" in done.stderr
