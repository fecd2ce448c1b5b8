"""Log records as JSON in ASCII, one line per event, so that no client can start a line of its own.

Set up by `serve`. Callers add fields with `extra={"fields": {...}}`. Whatever looks like a token, a part of a
token, or a password in an address is replaced, no matter who logs it. Who logs never waits for who reads.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import re
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any

# The first part of a token is enough to match, since the rest may have been cut off. The pattern tries each
# position once, however long the text is.
SECRET = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*){0,2}|(?<=://)[^/\s@]+(?=@)|(?<=[Bb]earer )\S+")
LINE_LIMIT = 8_000
LINES_WAITING = 1_000
LAST_WORDS_S = 1.0


class JsonLines(logging.Formatter):
    """`time`, `level`, `logger`, `event`, the caller's fields, and `error` with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": clean(record.getMessage()),
        }
        line |= {name: _plain(value) for name, value in getattr(record, "fields", {}).items()}
        if record.exc_info:
            line["error"] = clean(self.formatException(record.exc_info))
        # In ASCII, because terminals and log readers break lines at more characters than \n.
        return json.dumps(line, separators=(",", ":"))


class BackgroundHandler(logging.Handler):
    """Writes to standard error from a thread of its own.

    Whoever reads it may stop reading: a pipe that is full would hold up every heartbeat. Of what cannot be
    written, LINES_WAITING lines are kept; how many were lost is said when lines go out again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()  # a signal may come amid a put
        self._taken = self._written = self._lost = 0
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode(errors="replace") + b"\n"
        except Exception:
            self.handleError(record)
            return
        if self._lines.qsize() >= LINES_WAITING:
            self._lost += 1
            if self._lines.empty():  # all went out just now: no line is left to say this with
                self._put(b"")
        else:
            self._put(line)

    def _put(self, line: bytes) -> None:
        self._taken += 1
        self._lines.put(line)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="log", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Waits a moment for what is waiting: at the end of the process nobody else would."""
        deadline = time.monotonic() + LAST_WORDS_S
        while self._written < self._taken and time.monotonic() < deadline:
            time.sleep(0.005)

    def _write(self) -> None:
        said = 0  # of those that were lost; each of the two numbers is one thread's to write
        while True:
            line, lost = self._lines.get(), self._lost
            if lost > said:
                line += self.format(_lost_lines(lost - said)).encode() + b"\n"
                said = lost
            with contextlib.suppress(OSError, ValueError):  # nobody is there any more
                _write_all(sys.stderr.fileno(), line)
            self._written += 1


def _lost_lines(many: int) -> logging.LogRecord:
    text = "%d lines of this log were lost: nobody has read it for a while"
    return logging.LogRecord("presence.logs", logging.WARNING, __file__, 0, text, (many,), None)


def _write_all(file: int, data: bytes) -> None:
    """Not by sys.stderr, whose lock a blocked thread would keep at the end of the process."""
    while data:
        data = data[os.write(file, data) :]


def clean(text: str, limit: int = LINE_LIMIT) -> str:
    """The text without secrets, valid in JSON, at most `limit` characters. Cut last: a cut could hide one."""
    return SECRET.sub("[secret]", text)[:limit].encode(errors="replace").decode()


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else clean(str(value))


def logging_config(level: str = "INFO") -> dict[str, Any]:
    """The argument of dictConfig. Drops warnings about what is not HTTP: anybody can cause those."""
    quiet = {name: {"level": "WARNING"} for name in ("uvicorn", "httpx2", "httpcore2")}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": f"{__name__}.JsonLines"}},
        "handlers": {"stderr": {"class": f"{__name__}.BackgroundHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": quiet | {"uvicorn.error": {"level": "ERROR"}},
    }
