"""The verdicts on tokens, so that each is verified once. Owned by tokens; holds no tokens, only digests.

Bounded by memory and not by number, because a token may list a thousand courses. Drops the oldest first, and
expired ones as soon as they are the oldest.
"""

from __future__ import annotations

from collections import OrderedDict

from .caller import Caller

LIMIT = 50_000_000  # bytes, approximately
BASE_WEIGHT = 1_000  # bytes of a verdict without its courses


class TokenCache(OrderedDict[bytes, Caller]):
    """Callers by the digest of their token, in the order in which they were judged."""

    def __init__(self) -> None:
        super().__init__()
        self._weight = 0

    def remember(self, digest: bytes, caller: Caller, now: float) -> None:
        """Stores a verdict, replacing the former one. Drops verdicts that have expired by `now` first."""
        before = self.pop(digest, None)
        self._weight += weight(caller) - (weight(before) if before else 0)
        self[digest] = caller
        while self and (self._weight > LIMIT or next(iter(self.values())).holds_until <= now):
            self._weight -= weight(self.popitem(last=False)[1])


def weight(caller: Caller) -> int:
    return BASE_WEIGHT + len(caller.courses or "") + len(caller.owned or "") + len(caller.claimed_id)
