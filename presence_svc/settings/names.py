"""The names of our variables: finds those that are one of ours, misspelt.

Used by settings.load: such a name would leave open what it was to close, and nobody would be told. What is
like no setting at all is somebody else's (an image's tag, say), and left alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

ALIKE = 0.65  # of difflib's ratio: one letter wrong in the shortest name has more
ELSEWHERE = {"API_KEY"}  # read by `simulate`
# What Kubernetes sets in every container beside a service named presence-...: it is nobody's mistake.
LINK = re.compile(r"_(SERVICE_(HOST|PORT\w*)|PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)\Z")


def misspelt(prefix: str, known: Iterable[str]) -> Iterator[str]:
    """A line for each variable with our prefix that says nothing to us, and nearly does."""
    names = {name.upper() for name in known}
    for variable in sorted(os.environ):
        name = variable.upper().removeprefix(prefix)
        if name == variable.upper() or name in names | ELSEWHERE or LINK.search(f"_{name}"):
            continue
        for near in get_close_matches(name, names, 1, ALIKE):
            yield f"{variable}: there is no such setting; is {prefix}{near} meant?"
