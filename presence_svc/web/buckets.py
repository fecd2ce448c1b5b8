"""Token buckets in this process's memory: what web.limits counts with. Bounded: the longest unused go."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from ..errors import Limited

EPSILON = 1e-9


class OverRate(Limited):
    """A rate was passed. `policy`, `quota` and `window_s` (to fill a burst) go into RateLimit fields."""

    def __init__(self, detail: str, policy: str, quota: int, window_s: float, retry_after_s: float) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.policy = policy
        self.quota = quota
        self.window_s = window_s


class Buckets:
    """A token bucket per key, as one number: when it will be full again (GCRA).

    Keys are hashes, salted per process: a fraction of the ids' memory, and of one size.
    """

    def __init__(
        self,
        policy: str,
        rate: float,
        burst: int,
        room: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.policy = policy
        self.burst = burst
        self._gap_s = 1 / rate
        self._depth_s = burst / rate
        self._room = room
        self._clock = clock
        self._full_at: OrderedDict[int, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def is_known(self, key: int, since: float) -> bool:
        """Whether this key's bucket was not full `since` then."""
        return self._full_at.get(key, -math.inf) >= since

    def take(self, key: int) -> float:
        """Takes one and returns 0, or returns in how many seconds there will be one."""
        now, known = self._clock(), self._full_at
        if self.again(key, now):
            return 0.0
        before = known.get(key)
        if before is not None:
            return before + self._gap_s - now - self._depth_s  # refused, so that it is not full yet
        known[key] = now + self._gap_s
        if len(known) > self._room:
            known.popitem(last=False)
        return 0.0

    def again(self, key: int, now: float, since: float = -math.inf) -> bool:
        """Takes one for a key that is known, `now`; False, and nothing is taken, where `take` must say.

        Nobody is known whose bucket has been full `since` then.
        """
        known = self._full_at
        before = known.get(key)
        if before is None or before < since:
            return False
        full_at = (before if before > now else now) + self._gap_s
        if full_at - now - self._depth_s > EPSILON:
            return False
        known[key] = full_at
        known.move_to_end(key)
        return True

    def demand(self, key: int, detail: str) -> None:
        """Takes one. Raises OverRate."""
        wait_s = self.take(key)
        if wait_s:
            raise OverRate(detail, self.policy, self.burst, self._depth_s, wait_s)
