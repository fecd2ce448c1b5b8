"""Looks for environment variables that are almost one of our settings: misspelt, or named as they once were.

Used by settings.load, which refuses them: a misspelt setting would leave open what it was meant to close, and
nobody would be told. A name that resembles no setting belongs to somebody else and is left alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

SIMILARITY = 0.65  # difflib's ratio: the shortest name with one wrong letter has more
OTHER_READERS = {"API_KEY"}  # read by `simulate`
RENAMED = {"EXPRESS": "FAST_PATH", "STATEMENTS_LIMIT": "HEARTBEAT_CACHE_LIMIT"}
# Kubernetes sets these in every container beside a service named presence-...: nobody has misspelt them.
SERVICE_LINK = re.compile(r"_(SERVICE_(HOST|PORT\w*)|PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)\Z")


def misspelt(prefix: str, known: Iterable[str]) -> Iterator[str]:
    """Yields a message for each variable that has our prefix and is almost, but not quite, one of `known`."""
    names = {name.upper() for name in known}
    for variable in sorted(os.environ):
        name = variable.upper().removeprefix(prefix)
        if name == variable.upper() or name in names | OTHER_READERS or SERVICE_LINK.search(f"_{name}"):
            continue
        if name in RENAMED:
            yield f"{variable}: this setting is now called {prefix}{RENAMED[name]}"
            continue
        for near in get_close_matches(name, names, 1, SIMILARITY):
            yield f"{variable}: there is no such setting; did you mean {prefix}{near}?"
