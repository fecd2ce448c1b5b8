"""Which environment variables are settings, which are misspelt or quoted settings, and which are others'.

Used by settings. A misspelt setting would have no effect, and nobody would notice. A name that is unlike any
setting (an image's tag, say) belongs to somebody else: it is ignored, and listed once by `serve`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

QUOTES = "\"'"
SIMILARITY = 0.65  # of difflib's ratio: one wrong letter in the shortest name gives more
OTHER_READERS = {"API_KEY"}  # read by `simulate` and `watch`
RENAMED = {"EXPRESS": "FAST_PATH", "STATEMENTS_LIMIT": "HEARTBEAT_CACHE_LIMIT"}
# What Kubernetes sets in every container if there is a Service named presence, or presence-...: no mistake.
LINK = re.compile(r"(.+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)")
# Of the same kind, but a port may have any name, so that only its value identifies it.
PORT = re.compile(r"(.+_)?PORT")
ADDRESS = re.compile(r"(tcp|udp|sctp)://([0-9.]+|\[[0-9a-fA-F:.]+\]):\d{1,5}")


def is_link(name: str, value: str) -> bool:
    """Whether Kubernetes has set this; `name` is without our prefix, in upper case."""
    return bool(LINK.fullmatch(name) or (PORT.fullmatch(name) and ADDRESS.fullmatch(value)))


def ours(prefix: str, variables: Mapping[str, str | None]) -> dict[str, str | None]:
    """The variables without those that Kubernetes has set under our prefix."""
    return {
        variable: value
        for variable, value in variables.items()
        if not (_is_prefixed(prefix, variable) and is_link(_bare(prefix, variable), value or ""))
    }


def trimmed(variables: Mapping[str, str | None]) -> dict[str, str | None]:
    """The values without blanks at their ends: a secret that was made with `echo` ends in a line break."""
    found = {variable: value.strip() if value else value for variable, value in variables.items()}
    return {variable: value for variable, value in found.items() if value != ""}


def quoted(prefix: str, known: Iterable[str]) -> Iterator[str]:
    """Yields a message for each of `known` whose value is in quotes, which containers' env files keep."""
    names = {name.upper() for name in known}
    for variable in sorted(os.environ):
        value = os.environ[variable].strip()
        if not _is_prefixed(prefix, variable) or _bare(prefix, variable) not in names:
            continue
        if len(value) > 1 and value[0] == value[-1] and value[0] in QUOTES:
            yield f"{variable}: its value begins and ends with {value[0]}: leave the quotes out"


def ignored(prefix: str, known: Iterable[str]) -> list[str]:
    """The variables with our prefix that are no settings, sorted."""
    names = {name.upper() for name in known} | OTHER_READERS
    return [
        variable
        for variable in sorted(os.environ)
        if _is_prefixed(prefix, variable)
        and (_bare(prefix, variable) not in names or is_link(_bare(prefix, variable), os.environ[variable]))
    ]


def misspelt(prefix: str, known: Iterable[str]) -> Iterator[str]:
    """Yields a message for each variable that has our prefix and is almost, but not quite, one of `known`."""
    names = {name.upper() for name in known}
    for variable in ignored(prefix, names):
        name, value = _bare(prefix, variable), os.environ[variable]
        if not value or is_link(name, value):
            continue
        if name in RENAMED:
            yield f"{variable}: this setting is now called {prefix}{RENAMED[name]}"
            continue
        for near in get_close_matches(name, names, 1, SIMILARITY):
            yield f"{variable}: there is no such setting; did you mean {prefix}{near}?"


def _is_prefixed(prefix: str, variable: str) -> bool:
    return variable.upper().startswith(prefix)


def _bare(prefix: str, variable: str) -> str:
    return variable.upper().removeprefix(prefix)
