"""Rate limits: token buckets in this process's memory, and the number of open streams.

Used by admission and by streams, for viewers and for clients without credentials; services are not limited.
A refusal says when to retry. A session that obeys `next_heartbeat_ms` always passes (settings check that).
Sessions without a token are also limited per address.
"""

from __future__ import annotations

import ipaddress
import math
import random
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from ..errors import Limited, PresenceError
from ..settings import Settings
from .token_bucket import Bucket, OverRate, TokenBuckets

TOO_FAST = "this session sends heartbeats faster than it was asked to"
TOO_MANY = "this viewer sends too many heartbeats"


class Pace(NamedTuple):
    """The two buckets that a session's heartbeats are taken from."""

    session: Bucket
    viewer: Bucket


class Rates:
    """All limits of one process. `clock` is in seconds."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = monotonic) -> None:
        rate, burst, many = settings.beats_per_s, settings.beat_burst, settings.sessions_per_viewer
        crowd, lease_s = settings.address_sessions, max(settings.ttl, settings.hidden_ttl)

        def buckets(policy: str, rate: float, burst: int, *, is_shared: bool = False) -> TokenBuckets:
            return TokenBuckets(policy, rate, burst, settings.buckets_limit, clock, is_shared=is_shared)

        self._clock, self._lease_s = clock, lease_s
        self.sessions = buckets("session", rate, burst)
        self.leaves = buckets("leave", rate, burst)
        self.viewers = buckets("viewer", rate * many, burst * many)
        self.reads = buckets("read", settings.read_rate, settings.read_burst)
        self.addresses = buckets("address", settings.address_rate, settings.address_burst, is_shared=True)
        self.crowds = buckets("crowd", crowd / settings.asked_s, crowd, is_shared=True)
        self.joins = buckets("join", settings.join_rate, settings.join_burst, is_shared=True)
        self.joined = buckets("joined", 1 / lease_s, 1)  # who has joined which course within a lease
        self._streams: Counter[int] = Counter()
        self._per_viewer, self._per_address = settings.streams_per_viewer, settings.streams_per_address

    def pace(self, session: int, viewer_id: str) -> Pace | None:
        """The buckets of a session that is known here; None if it is not."""
        mine, all_of_them = self.sessions.get(session), self.viewers.get(hash(viewer_id))
        return Pace(mine, all_of_them) if mine and all_of_them else None

    def again(self, pace: Pace) -> bool:
        """Takes a heartbeat; False if its session has expired or is no longer known. Raises OverRate."""
        now = self._clock()
        since = now - self._lease_s
        wait_s = self.sessions.again(pace.session, now, since)
        if wait_s > 0:
            raise self.sessions.refusal(TOO_FAST, wait_s)
        if wait_s == 0:
            wait_s = self.viewers.again(pace.viewer, now, since)
            if wait_s > 0:
                raise self.viewers.refusal(TOO_MANY, wait_s)
        return wait_s == 0

    def again_without_token(self, session: int, address: str) -> bool:
        """The same without a token: an address may keep only so many sessions alive."""
        if not self.sessions.is_known(session, self._clock() - self._lease_s):
            return False
        self.beat(session)
        self.crowds.demand(
            _hash_of(address), "too many sessions without a token are present from this address"
        )
        return True

    def beat(self, session: int) -> None:
        """Takes a heartbeat of a session. Raises OverRate."""
        self.sessions.demand(session, TOO_FAST)

    def leave(self, session: int) -> None:
        """Takes a leave of a session with its leave token. Raises OverRate."""
        self.leaves.demand(session, "this session sends too many leaves")

    def viewer(self, viewer_id: str) -> None:
        """Takes a heartbeat of a viewer, over all their sessions. Raises OverRate."""
        self.viewers.demand(hash(viewer_id), TOO_MANY)

    def read(self, viewer_id: str) -> None:
        """Takes any other request of a viewer, even if it is refused. Raises OverRate."""
        self.reads.demand(hash(viewer_id), "this viewer sends too many requests")

    def unknown(self, address: str) -> None:
        """Takes a request without credentials, or with invalid ones. Raises OverRate."""
        self.addresses.demand(_hash_of(address), "too many requests without a token from this address")

    def join(self, course_id: str, viewer_id: str, address: str | None) -> OverRate | None:
        """Takes a join. Returns the error to raise, unless the viewer turns out to be present.

        A viewer joins once per lease, with any number of sessions.
        """
        viewer = hash((course_id, viewer_id))
        try:
            if address is not None:
                self.unknown(address)
            if self.joined.is_known(viewer, self._clock()):
                return None
            self.joins.demand(hash(course_id), "too many new viewers at once in this course")
        except OverRate as error:
            return error
        self.joined.take(viewer)
        return None

    def open_stream(self, viewer_id: str, address: str) -> Callable[[], None]:
        """Counts a stream of a viewer or address; call the result when it ends. Raises Limited."""
        key = hash(viewer_id) if viewer_id else _hash_of(address)
        if self._streams[key] >= (self._per_viewer if viewer_id else self._per_address):
            raise Limited("too many streams are open", retry_after_s=random.uniform(5, 15))
        self._streams[key] += 1

        def close() -> None:
            self._streams[key] -= 1
            if not self._streams[key]:
                del self._streams[key]

        return close


def _hash_of(address: str) -> int:
    return hash(("address", network(address)))  # never equal to a viewer's


def network(address: str) -> str:
    """The key of an address: an IPv6 customer has at least a /64, which counts as one address."""
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
    """The headers of draft-ietf-httpapi-ratelimit-headers (2025): what is left, and when it resets."""
    reset_s = max(1, math.ceil(error.retry_after_s or 1))
    if not isinstance(error, OverRate):
        return {"ratelimit": f'"limit";r=0;t={reset_s}'}
    return {
        "ratelimit-policy": f'"{error.policy}";q={error.quota};w={max(1, math.ceil(error.window_s))}',
        "ratelimit": f'"{error.policy}";r=0;t={reset_s}',
    }
