"""The query parameters of history routes: times, ranges and zones. Raises Invalid, which names the field."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from starlette.requests import Request

from ...errors import Invalid

_ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
# Files beside the IANA zones on some machines: the machine's own zone, and zones with leap seconds.
NO_PLACES = ("localtime", "posixrules", "posix/", "right/", "Factory")
LONGEST = 15  # digits
EARLIEST, LATEST = 0, 4_102_444_800_000  # 1970 to 2100


class Range(NamedTuple):
    """From `begin` to `end` (excluded), in ms."""

    begin: int
    end: int


@lru_cache(1_000)
def _zone(name: str) -> ZoneInfo | None:
    """None if there is no such zone; a folder of zones or a path to elsewhere is not one."""
    if not _ZONE.fullmatch(name) or name.startswith(NO_PLACES):
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return None


def zone_named(name: str, field: str = "/tz") -> ZoneInfo:
    """The zone of this name in the IANA database. Raises Invalid."""
    found = _zone(name)
    if found is None:
        raise Invalid([(field, "must be a time zone's name, such as Europe/Berlin or Asia/Kolkata")])
    return found


def moment_in(text: str, field: str, here: ZoneInfo) -> int:
    """Parses ms since 1970, or ISO 8601, which without an offset is in the zone `here`. Raises Invalid."""
    found = _moment(text, here)
    if found is None or not EARLIEST <= found <= LATEST:
        raise Invalid([(field, "must be ms since 1970 or an ISO 8601 time from 1970 to 2100")])
    return found


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone, by default UTC."""

    name: str = "tz"
    is_required: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "default": "UTC", "examples": ["Asia/Kolkata"]}

    def read(self, request: Request) -> ZoneInfo:
        """Raises Invalid for an unknown zone."""
        return zone_named(request.query_params.get(self.name, "UTC"), f"/{self.name}")


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, or none."""

    name: str
    is_required: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "description": "ms since 1970, or ISO 8601 (in `tz` without an offset)"}

    def read(self, request: Request, here: ZoneInfo) -> int | None:
        """Raises Invalid if it is not a time."""
        text = request.query_params.get(self.name)
        return None if text is None else moment_in(text, f"/{self.name}", here)


TZ, FROM, TO = Zone(), Moment("from"), Moment("to")


def _moment(text: str, here: ZoneInfo) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text) if len(text) <= LONGEST else None
    for each in (text, text.replace(" ", "+")):  # an unescaped + arrives as a blank
        try:
            found = datetime.fromisoformat(each)
            at = found if found.tzinfo else found.replace(tzinfo=here)
            return round(at.astimezone(UTC).timestamp() * 1000)
        except (ValueError, OverflowError):
            continue
    return None


def window(request: Request, here: ZoneInfo, now: int, default_ms: int) -> Range:
    """The range of `from` and `to`, cut off at `now` (ms); by default the last `default_ms`."""
    given = TO.read(request, here)
    end = now if given is None else min(given, now)
    begin = FROM.read(request, here)
    if begin is None:
        begin = max(0, end - default_ms)
    if given is not None and begin >= given:
        raise Invalid([("/from", "must be before to")])
    return Range(begin, max(begin, end))
