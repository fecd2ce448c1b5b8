"""Token buckets, the rate limits of auth.rates, in this process's memory; no bearer tokens.

Bounded: drops the least recently used.
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from ..errors import Limited

EPSILON = 1e-9
CHANCES = 8  # how many buckets in use are spared before one of them is dropped
LAPSED = -1.0


class OverRate(Limited):
    """A rate limit was exceeded. `policy`, `quota` and `window_s` (to refill) go into RateLimit headers."""

    def __init__(self, detail: str, policy: str, quota: int, window_s: float, retry_after_s: float) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.policy = policy
        self.quota = quota
        self.window_s = window_s


class Bucket:
    """The bucket of one key (GCRA): `full_at` is when it will be full again, in seconds.

    `seen` is an earlier value of that, which shows whether the bucket was used in between.
    """

    __slots__ = ("full_at", "seen")

    def __init__(self, full_at: float) -> None:
        self.full_at = self.seen = full_at


class TokenBuckets:
    """A bucket per key. Keys are hashes, salted per process, which take less memory than ids.

    `is_shared`: many independent clients take from the same bucket.
    """

    def __init__(
        self,
        policy: str,
        rate: float,
        burst: int,
        limit: int,
        clock: Callable[[], float] = monotonic,
        *,
        is_shared: bool = False,
    ) -> None:
        self.policy = policy
        self._is_shared = is_shared
        self.burst = burst
        self._gap_s = 1 / rate
        self._depth_s = burst / rate
        self._limit = limit
        self._clock = clock
        self._buckets: OrderedDict[int, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def get(self, key: int) -> Bucket | None:
        """The bucket of a key, for callers that take from it often."""
        return self._buckets.get(key)

    def is_known(self, key: int, since: float) -> bool:
        """Whether this key's bucket was still not full at the time `since`."""
        bucket = self._buckets.get(key)
        return bucket is not None and bucket.full_at >= since

    def take(self, key: int) -> float:
        """Takes a token and returns 0, or returns in how many seconds there will be one."""
        now, bucket = self._clock(), self._buckets.get(key)
        if bucket is not None:
            return self.again(bucket, now)
        self._buckets[key] = Bucket(now + self._gap_s)
        if len(self._buckets) > self._limit:
            self._forget()
        return 0.0

    def again(self, bucket: Bucket, now: float, since: float = -math.inf) -> float:
        """As `take`, from a known bucket; LAPSED if it was full at the time `since`, or was dropped."""
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
        """Takes a token. Raises OverRate."""
        wait_s = self.take(key)
        if wait_s:
            raise self.refusal(detail, wait_s)

    def refusal(self, detail: str, wait_s: float) -> OverRate:
        """The error to raise. Clients of a shared bucket get random times, spread over its refill time."""
        wait_s += random.uniform(0, self._depth_s if self._is_shared else wait_s / 2)
        return OverRate(detail, self.policy, self.burst, self._depth_s, wait_s)

    def _forget(self) -> None:
        """Drops the oldest bucket, but first spares up to CHANCES that were used since they were checked."""
        for _ in range(CHANCES):
            key, bucket = self._buckets.popitem(last=False)
            if bucket.full_at == bucket.seen:
                break
            bucket.seen = bucket.full_at
            self._buckets[key] = bucket
        else:
            _, bucket = self._buckets.popitem(last=False)
        bucket.full_at = -math.inf
