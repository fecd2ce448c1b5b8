"""Log records as JSON in ASCII, one line per event, so that no client can start a line of its own.

Set up by `serve`. Callers add fields with `extra={"fields": {...}}`. Whatever looks like a token, a part of a
token, or a password in an address is replaced, no matter who logs it.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

# The first part of a token is enough to match, since the rest may have been cut off. The pattern tries each
# position once, however long the text is.
SECRET = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*){0,2}|(?<=://)[^/\s@]+(?=@)|(?<=[Bb]earer )\S+")
LINE_LIMIT = 8_000


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
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": quiet | {"uvicorn.error": {"level": "ERROR"}},
    }
