"""What is left of the files that this process may open: each connection is one.

Raised by commands.serve, asked by server.http at each new connection. Near the limit streams are refused, and
new connections are served once and quickly; the last files are kept for Redis. So heartbeats and probes pass.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable
from enum import Enum

from ..web.services import Services

log = logging.getLogger("presence.serve")
MOST = 1_048_576  # what kernels allow; "unlimited" is no number that they take
KEPT_SHARE, KEPT = 16, (8, 64)  # of the limit for Redis and its like: a 16th, 8 at least and 64 at most
RESERVED_SHARE, RESERVED = 8, (16, 512)  # before these, for who asks once and goes


class Left(Enum):
    """How much there is for a connection that has just been made."""

    ENOUGH = 0
    LITTLE = 1  # one request, soon, and no stream
    NOTHING = 2


def raise_limit() -> None:
    """Up to the hard limit: the soft one is 1,024 in most places, for programs that use select."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS allows less than it says
        log.warning("the limit of open files stays at %d", soft)


class OpenFiles:
    """One per process. `on_state` is told when files become scarce, and when they no longer are."""

    def __init__(self, on_state: Callable[[bool], None] = lambda scarce: None) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.limit = MOST if soft == resource.RLIM_INFINITY else soft
        self._full = self.limit - _part(self.limit, KEPT_SHARE, KEPT)
        self.room = self._full - _part(self.limit, RESERVED_SHARE, RESERVED)
        self._again = self.room * 3 // 4
        self._on_state = on_state
        self._is_scarce = False
        self.refused = 0

    def left(self, transport: asyncio.BaseTransport) -> Left:
        """After this connection was made. Its number was the lowest free one: it says how many are open."""
        taken = transport.get_extra_info("socket")
        number = taken.fileno() if taken is not None else 0
        if number < self.room and not self._is_scarce:
            return Left.ENOUGH
        self._note(number >= (self._again if self._is_scarce else self.room))
        if number < self.room:
            return Left.ENOUGH
        if number < self._full:
            return Left.LITTLE
        self.refused += 1
        return Left.NOTHING

    def _note(self, scarce: bool) -> None:
        """One line for each state, however many connections come in it."""
        if scarce == self._is_scarce:
            return
        self._is_scarce = scarce
        self._on_state(scarce)
        fields = {"limit": self.limit, "room": self.room, "refused": self.refused}
        if scarce:
            log.warning("too few open files: streams are refused (raise ulimit -n)", extra={"fields": fields})
        else:
            log.warning("enough open files again", extra={"fields": fields})


def _part(limit: int, share: int, bounds: tuple[int, int]) -> int:
    least, most = bounds
    return max(min(least, limit // 4), min(most, limit // share))


def watched_files(service: Services) -> OpenFiles:
    """For the connections of our own server. Where files are scarce, streams leave room for the rest."""

    def on_state(scarce: bool) -> None:
        service.capacity.is_scarce = scarce
        service.metrics.files_scarce.set(scarce)

    files = OpenFiles(on_state)
    service.metrics.files_limit.set(files.limit)
    return files
