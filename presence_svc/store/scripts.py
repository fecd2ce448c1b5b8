"""The Lua scripts, read once from `lua/`: each with its name, its text including shared parts, and its SHA1.

A line `--@include shared/course` is replaced by that file. Files in `lua/shared` are only included.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

PUBLISH = "local PUBLISH = 'PUBLISH'"


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script; `sha` is its name for EVALSHA."""

    name: str
    text: str
    sha: str
    sharded: Script | None = None  # the same with SPUBLISH

    def publishing(self, *, sharded: bool) -> Script:
        """The script for sharded channels or for global ones."""
        return self.sharded if sharded and self.sharded else self


def _read(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")


@cache
def script(name: str) -> Script:
    """The script `lua/<name>.lua`. Raises FileNotFoundError for a name that does not exist."""
    lines = []
    for line in _read(name).splitlines():
        included = line.removeprefix("--@include ")
        lines.append(line if included == line else _read(included))
    text = "\n".join(lines)
    sharded = text.replace(PUBLISH, PUBLISH.replace("'PUBLISH'", "'SPUBLISH'"))
    return Script(name, text, _sha(text), Script(name, sharded, _sha(sharded)))


def _sha(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


HEARTBEAT = script("heartbeat")
LEAVE = script("leave")
TAKE_OVER = script("take_over")
EVICT = script("evict")
COUNT = script("count")
VIEWERS = script("viewers")
SWEEP = script("sweep")
DUE = script("due")
SINCE = script("since")
PEOPLE = script("people")
REPAIR = script("repair")
CHECK = script("check")


def every_script(*, sharded: bool) -> list[Script]:
    """All of them, as they are for this kind of channels."""
    return [one.publishing(sharded=sharded) for one in list(globals().values()) if isinstance(one, Script)]
