"""Log records as JSON in ASCII, one line an event: what clients have sent cannot start a line of its own.

Set up by `serve`. A caller gives fields as `extra={"fields": {...}}`. What looks like a token, or a part of
one, or a password in an address, is struck out, whoever has logged it.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

# A token's first part is enough: it may have been cut. So is each place tried once, however long the text.
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
        # In ASCII: terminals and log readers break lines at more than \n.
        return json.dumps(line, separators=(",", ":"))


def clean(text: str, limit: int = LINE_LIMIT) -> str:
    """Without secrets, struck out before a cut could hide what they are; bounded, and valid in JSON."""
    return SECRET.sub("[secret]", text)[:limit].encode(errors="replace").decode()


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
