"""A rate limit for one connection: a burst, and a rate per second after that.

Used by server.websocket for frames and for bytes. It needs no timer, so that an idle socket costs nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ..auth.token_bucket import OverRate
from ..settings import Settings


class Quota(NamedTuple):
    """The limit of every socket: `rate` per second, `burst` at once. `policy` is its name in metrics."""

    policy: str
    rate: float
    burst: int


class Meter:
    """The meter of one connection. Times are loop times in seconds."""

    __slots__ = ("_full_at", "quota")

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._full_at = 0.0

    def take(self, n: int, now: float) -> bool:
        """Takes `n`. Returns False if that exceeds the limit; they are taken even then."""
        quota = self.quota
        self._full_at = max(self._full_at, now) + n / quota.rate
        return self._full_at - now <= quota.burst / quota.rate + 1e-9

    def refusal(self, now: float) -> OverRate:
        """The error for a client that has exceeded the limit."""
        policy, rate, burst = self.quota
        wait_s = max(0.0, self._full_at - now - (burst - 1) / rate)
        return OverRate(f"too many {policy}", f"socket_{policy}", burst, burst / rate, wait_s)


def socket_meters(settings: Settings) -> tuple[Meter, Meter]:
    """The meters of a new socket: for its frames and for its bytes."""
    frames = _quota("frames", settings.socket_rate, settings.socket_burst)
    return Meter(frames), Meter(_quota("bytes", settings.socket_bytes_rate, settings.socket_bytes_burst))


@lru_cache(8)
def _quota(policy: str, rate: float, burst: int) -> Quota:
    """Cached, so that all sockets share one object."""
    return Quota(policy, rate, burst)
