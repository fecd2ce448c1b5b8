"""What was found of tokens, so that each is verified once. Owned by tokens; holds no token itself.

Bounded by what it weighs, not by numbers: a token may list a thousand courses. The oldest go first, and those
that have lapsed as soon as they are the oldest.
"""

from __future__ import annotations

from collections import OrderedDict

from .caller import Caller

ROOM = 50_000_000  # bytes, about
ALONE = 1_000  # what a verdict weighs without its courses


class TokenCache(OrderedDict[bytes, Caller]):
    """Callers by their token's digest, in the order in which they were judged."""

    def __init__(self) -> None:
        super().__init__()
        self._weight = 0

    def remember(self, digest: bytes, caller: Caller, now: float) -> None:
        """Keeps it, in place of what was found before; what has lapsed by `now` makes room first."""
        before = self.pop(digest, None)
        self._weight += weight(caller) - (weight(before) if before else 0)
        self[digest] = caller
        while self and (self._weight > ROOM or next(iter(self.values())).holds_until <= now):
            self._weight -= weight(self.popitem(last=False)[1])


def weight(caller: Caller) -> int:
    return ALONE + len(caller.courses or "") + len(caller.owned or "") + len(caller.said)
