"""Log records as JSON, one line an event: what clients have sent cannot start a line of its own.

Set up by `serve`. A caller gives fields as `extra={"fields": {...}}`. What looks like a token, or a
password in an address, is struck out, whoever has logged it.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import Any

import orjson

SECRET = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*|(?<=://)[^/\s@]+(?=@)|(?<=[Bb]earer )\S+")
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
        return orjson.dumps(line).decode()


def clean(text: str) -> str:
    """Bounded, without secrets, and without what JSON cannot hold."""
    bounded = text[:LINE_LIMIT].encode(errors="replace").decode()
    return SECRET.sub("[secret]", bounded)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else clean(str(value))


def logging_config(level: str = "INFO") -> dict[str, Any]:
    """For dictConfig. Not logged: uvicorn's warnings of what is not HTTP, which anybody can cause."""
    quiet = {name: {"level": "WARNING"} for name in ("uvicorn", "httpx2", "httpcore2")}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": f"{__name__}.JsonLines"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": quiet | {"uvicorn.error": {"level": "ERROR"}},
    }
