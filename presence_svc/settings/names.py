"""The names of our variables: finds those that no setting has, and says which one may be meant.

Used by settings.load: a misspelt name would leave open what it was to close, and nobody would be told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

ELSEWHERE = {"API_KEY"}  # read by `simulate`
# What Kubernetes sets in every container beside a service named presence-...: it is nobody's mistake.
LINK = re.compile(r"_(SERVICE_(HOST|PORT\w*)|PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)\Z")


def unknown(prefix: str, known: Iterable[str]) -> Iterator[str]:
    """A line for each variable with our prefix that says nothing to us."""
    names = {name.upper() for name in known}
    for variable in sorted(os.environ):
        name = variable.upper().removeprefix(prefix)
        if name == variable.upper() or name in names | ELSEWHERE or LINK.search(f"_{name}"):
            continue
        near = get_close_matches(name, names, 1)
        yield f"{variable}: there is no such setting" + (f"; is {prefix}{near[0]} meant?" if near else "")
