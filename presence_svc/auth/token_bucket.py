"""Token buckets in this process's memory: what auth.rates counts with. Bounded: the longest unused go."""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from ..errors import Limited

EPSILON = 1e-9
CHANCES = 8  # of those in use, before one of them goes
LAPSED = -1.0


class OverRate(Limited):
    """A rate was passed. `policy`, `quota` and `window_s` (to fill a burst) go into RateLimit fields."""

    def __init__(self, detail: str, policy: str, quota: int, window_s: float, retry_after_s: float) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.policy = policy
        self.quota = quota
        self.window_s = window_s


class Bucket:
    """One key's, as one number: when it will be full again, in s (GCRA); `seen` is that of a while ago."""

    __slots__ = ("full_at", "seen")

    def __init__(self, full_at: float) -> None:
        self.full_at = self.seen = full_at


class TokenBuckets:
    """A bucket per key. Keys are hashes, salted per process: a fraction of the memory of ids.

    `is_shared`: many clients that know nothing of each other take from one bucket.
    """

    def __init__(
        self,
        policy: str,
        rate: float,
        burst: int,
        room: int,
        clock: Callable[[], float] = monotonic,
        *,
        is_shared: bool = False,
    ) -> None:
        self.policy = policy
        self._is_shared = is_shared
        self.burst = burst
        self._gap_s = 1 / rate
        self._depth_s = burst / rate
        self._room = room
        self._clock = clock
        self._buckets: OrderedDict[int, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def get(self, key: int) -> Bucket | None:
        """To take from again and again, without a look for it."""
        return self._buckets.get(key)

    def is_known(self, key: int, since: float) -> bool:
        """Whether this key's bucket was not full `since` then."""
        bucket = self._buckets.get(key)
        return bucket is not None and bucket.full_at >= since

    def take(self, key: int) -> float:
        """Takes one and returns 0, or returns in how many seconds there will be one."""
        now, bucket = self._clock(), self._buckets.get(key)
        if bucket is not None:
            return self.again(bucket, now)
        self._buckets[key] = Bucket(now + self._gap_s)
        if len(self._buckets) > self._room:
            self._forget()
        return 0.0

    def again(self, bucket: Bucket, now: float, since: float = -math.inf) -> float:
        """As take, of a bucket at hand, `now`; LAPSED when it has been full `since` then, or is forgotten."""
        before = bucket.full_at
        if before < since:
            return LAPSED
        full_at = (before if before > now else now) + self._gap_s
        wait_s = full_at - now - self._depth_s
        if wait_s > EPSILON:
            return wait_s
        bucket.full_at = full_at
        return 0.0

    def demand(self, key: int, detail: str) -> None:
        """Takes one. Raises OverRate."""
        wait_s = self.take(key)
        if wait_s:
            raise self.refusal(detail, wait_s)

    def refusal(self, detail: str, wait_s: float) -> OverRate:
        """Those who share a bucket are told to come back by turns, within the time that it takes to fill."""
        wait_s += random.uniform(0, self._depth_s if self._is_shared else wait_s / 2)
        return OverRate(detail, self.policy, self.burst, self._depth_s, wait_s)

    def _forget(self) -> None:
        """The oldest goes, unless something was taken from it since it was last asked: one more chance."""
        for _ in range(CHANCES):
            key, bucket = self._buckets.popitem(last=False)
            if bucket.full_at == bucket.seen:
                break
            bucket.seen = bucket.full_at
            self._buckets[key] = bucket
        else:
            _, bucket = self._buckets.popitem(last=False)
        bucket.full_at = -math.inf
