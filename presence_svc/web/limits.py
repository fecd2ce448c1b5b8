"""Who may ask how often: token buckets in this process's memory, and the streams that are open here.

Asked by the gate and by streams, for viewers and for those without credentials; services are not limited.
A refusal tells when to come back. A session that beats as it is told always passes (settings check that).
"""

from __future__ import annotations

import ipaddress
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from time import monotonic

from ..errors import Limited, PresenceError
from ..settings import Settings

EPSILON = 1e-9


class OverRate(Limited):
    """A rate was passed. `policy`, `quota` and `window_s` (to fill a burst) go into RateLimit fields."""

    def __init__(self, detail: str, policy: str, quota: int, window_s: float, retry_after_s: float) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.policy = policy
        self.quota = quota
        self.window_s = window_s


class Buckets:
    """A token bucket per key, as one number: when it will be full again (GCRA). Forgets the oldest."""

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
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._full_at

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: Hashable) -> float:
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

    def again(self, key: Hashable, now: float) -> bool:
        """Takes one for a key that is known, `now`; False, and nothing is taken, where `take` must say."""
        known = self._full_at
        before = known.get(key)
        if before is None:
            return False
        full_at = (before if before > now else now) + self._gap_s
        if full_at - now - self._depth_s > EPSILON:
            return False
        known[key] = full_at
        known.move_to_end(key)
        return True

    def demand(self, key: Hashable, detail: str) -> None:
        """Takes one. Raises OverRate."""
        wait_s = self.take(key)
        if wait_s:
            raise OverRate(detail, self.policy, self.burst, self._depth_s, wait_s)


class Limits:
    """Every rate of one replica. Keys are hashes, salted per process: a fraction of the ids' memory."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = monotonic) -> None:
        rate, burst, many = settings.beats_per_s, settings.beat_burst, settings.sessions_per_viewer

        self._clock = clock

        def buckets(policy: str, rate: float, burst: int) -> Buckets:
            return Buckets(policy, rate, burst, settings.buckets_limit, clock)

        self.sessions = buckets("session", rate, burst)
        self.viewers = buckets("viewer", rate * many, burst * many)
        self.reads = buckets("read", settings.read_rate, settings.read_burst)
        self.addresses = buckets("address", settings.address_rate, settings.address_burst)
        self.joins = buckets("join", settings.join_rate, settings.join_burst)
        self._streams: Counter[str] = Counter()
        self._per_viewer, self._per_address = settings.streams_per_viewer, settings.streams_per_address

    def again(self, session: int, viewer_id: str) -> None:
        """One more heartbeat of a session that is known here: `beat` and `viewer` in one. Raises OverRate."""
        now = self._clock()
        if not self.sessions.again(session, now):
            self.beat(session)
        if not self.viewers.again(hash(viewer_id), now):
            self.viewer(viewer_id)

    def beat(self, session: int) -> None:
        """One heartbeat of a session. Raises OverRate."""
        self.sessions.demand(session, "this session sends heartbeats faster than it was asked to")

    def viewer(self, viewer_id: str) -> None:
        """One heartbeat of all that a viewer has anywhere. Raises OverRate."""
        self.viewers.demand(hash(viewer_id), "this viewer sends too many heartbeats")

    def read(self, viewer_id: str) -> None:
        self.reads.demand(hash(viewer_id), "this viewer asks too often")

    def unknown(self, address: str) -> None:
        """A request without credentials, or with bad ones. Raises OverRate."""
        self.addresses.demand(network(address), "too many requests without a token from this address")

    def join(self, course_id: str, address: str | None) -> OverRate | None:
        """A session that is new here. Returns what to raise, unless it turns out to be present already."""
        try:
            if address is not None:
                self.unknown(address)
            self.joins.demand(hash(course_id), "too many new viewers at once in this course")
        except OverRate as error:
            return error
        return None

    def open_stream(self, viewer_id: str, address: str) -> Callable[[], None]:
        """Counts a viewer's stream, or an address's; call the result at its end. Raises Limited."""
        key = viewer_id or f"\n{network(address)}"
        if self._streams[key] >= (self._per_viewer if viewer_id else self._per_address):
            raise Limited("too many streams are open", retry_after_s=5)
        self._streams[key] += 1

        def close() -> None:
            self._streams[key] -= 1
            if not self._streams[key]:
                del self._streams[key]

        return close


def network(address: str) -> str:
    """Whom an address belongs to: an IPv6 customer has a /64 at least, and gets one bucket for all of it."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)).network_address)


def rate_limit_fields(error: PresenceError) -> dict[str, str]:
    """The fields of draft-ietf-httpapi-ratelimit-headers (2025): what is left, and until when."""
    reset_s = max(1, math.ceil(error.retry_after_s or 1))
    if not isinstance(error, OverRate):
        return {"ratelimit": f'"limit";r=0;t={reset_s}'}
    return {
        "ratelimit-policy": f'"{error.policy}";q={error.quota};w={max(1, math.ceil(error.window_s))}',
        "ratelimit": f'"{error.policy}";r=0;t={reset_s}',
    }
