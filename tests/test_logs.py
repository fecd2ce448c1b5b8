"""Log lines: each is one line of ASCII, and no secret is left in it, whoever has logged it (H13)."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from presence_svc.logs import LINES_WAITING, BackgroundHandler, JsonLines, clean
from tests.rig import ROOT, free_port, wait_until

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl"


def test_the_formatter_strikes_secrets_out_whoever_logs_them() -> None:
    """A token in a message, a password in an address, a traceback with both: one line without them."""
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl"
    try:
        raise ValueError(f"redis://user:hunter2@host refused Bearer {token}")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "got %s\nand\ud800 more", (token,), info)
    record.fields = {"url": "redis://user:hunter2@host", "n": 7}

    line = JsonLines().format(record)

    assert "\n" not in line
    assert "hunter2" not in line
    assert "eyJ" not in line
    assert json.loads(line)["n"] == 7


@pytest.mark.parametrize("end", ["\n", "\r", "\x1b[2J", "\x7f", "\x85", "\x9b2J", "\u2028", "\u2029"])
def test_a_line_of_the_log_has_one_end(end: str) -> None:
    """H13: nothing that a reader takes for a line's end, or a terminal for a command, is left as it came."""
    record = logging.LogRecord("x", logging.INFO, "f", 1, "got %s", (end + "more",), None)
    record.fields = {"path": end}

    line = JsonLines().format(record)

    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["event"] == f"got {end}more"


@pytest.mark.parametrize(
    "text", [f"/x_{TOKEN}", f"/{TOKEN}/{TOKEN}", "/" + "a" * 290 + TOKEN, TOKEN[:30], f"/_{TOKEN[:20]}"]
)
def test_no_part_of_a_token_is_logged(text: str) -> None:
    """H13: wherever it stands, and also where a path is cut in its middle."""
    cut = clean(text, 300)

    assert len(cut) <= 300
    assert "eyJ" not in cut
    assert "c2ln" not in cut


def test_nobody_waits_for_who_reads_the_log() -> None:
    """L8: a pipe that is full, as a container's log driver leaves it, holds up no request and no end."""
    port = free_port()
    env = {**os.environ, "PRESENCE_PORT": str(port), "PRESENCE_ACCESS_LOG": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "presence_svc", "serve"], cwd=ROOT, env=env, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
    try:
        wait_until(lambda: _status(port) == 200)
        assert {_status(port) for _ in range(100)} == {200}  # some 10 KB of log

        process.send_signal(signal.SIGTERM)

        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def _status(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5) as reply:
            return int(reply.status)
    except OSError:
        return 0


LINE = "a line of some length"
SENT = 3 * LINES_WAITING


class Pipe:
    """A small pipe in the place of standard error, and the lines that were read from it."""

    def __init__(self, reader: IO[bytes]) -> None:
        self._reader, self._rest = reader, b""
        self.handler = BackgroundHandler()
        self.handler.setFormatter(JsonLines())
        self.lines: list[str] = []
        self.lost = 0

    def log(self, text: str) -> None:
        self.handler.handle(logging.LogRecord("x", logging.INFO, "f", 1, text, (), None))

    def read(self) -> None:
        """Waits for more, and counts what is said to be lost."""
        *whole, self._rest = (self._rest + self._reader.read(65_536)).split(b"\n")
        events = [json.loads(line)["event"] for line in whole]
        self.lines += events
        self.lost += sum(int(event.split()[0]) for event in events if "were lost" in event)


@contextmanager
def small_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """No fixture: pytest puts its own standard error there between fixtures and test."""
    reads, writes = os.pipe()
    fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 4096)
    with open(writes, "wb", buffering=0) as stream, open(reads, "rb", buffering=0) as reader:
        monkeypatch.setattr(sys, "stderr", stream)
        yield Pipe(reader)


def test_lost_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody has read is bounded, and its loss is said when lines go out again, without a later line."""
    with small_pipe(monkeypatch) as pipe:
        for sent in (SENT, 2 * SENT):
            for _ in range(SENT):
                pipe.log(LINE)
            while pipe.lost + pipe.lines.count(LINE) < sent:
                pipe.read()

        assert pipe.lost + pipe.lines.count(LINE) == 2 * SENT
        assert pipe.lost >= 2 * (SENT - LINES_WAITING) - 200  # more than the pipe takes
        pipe.log("the last one")
        while "the last one" not in pipe.lines:
            pipe.read()


def test_a_loss_that_no_line_follows_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue was full a moment ago, and all of it has gone out since."""

    class Full(queue.SimpleQueue[bytes]):
        def qsize(self) -> int:
            return LINES_WAITING

    with small_pipe(monkeypatch) as pipe:
        pipe.handler._lines = Full()

        pipe.log("this one is lost")

        while not pipe.lost:
            pipe.read()
    assert pipe.lost == 1
    assert not any("this one" in line for line in pipe.lines)
