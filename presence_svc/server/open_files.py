"""The limit of open files of this process, of which every connection takes one.

commands.serve raises it; server.http checks it for each new connection. Near the limit streams are refused
and new connections get one quick request; the last files are kept for Redis. So heartbeats still work.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable
from enum import Enum

from ..web.services import Services

log = logging.getLogger("presence.serve")
MOST = 1_048_576  # what kernels allow; they do not accept "unlimited" as a number
KEPT_SHARE, KEPT = 16, (8, 64)  # kept for Redis and the like: a 16th of the limit, from 8 to 64
RESERVED_SHARE, RESERVED = 8, (16, 512)  # kept for short requests: an 8th of the limit, from 16 to 512


class Left(Enum):
    """What a new connection may do."""

    ENOUGH = 0
    LITTLE = 1  # one request, soon, and no stream
    NOTHING = 2


def raise_limit() -> None:
    """Raises the soft limit, mostly 1,024 for the sake of programs that use select, to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS allows less than it says
        log.warning("the limit on open files cannot be raised and stays at %d", soft)


class OpenFiles:
    """One per process. Calls `on_state` when files become scarce, and when they no longer are."""

    def __init__(self, on_state: Callable[[bool], None] = lambda scarce: None) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.limit = MOST if soft == resource.RLIM_INFINITY else soft
        self._full = self.limit - _part(self.limit, KEPT_SHARE, KEPT)
        self.for_streams = self._full - _part(self.limit, RESERVED_SHARE, RESERVED)
        self._again = self.for_streams * 3 // 4
        self._on_state = on_state
        self._is_scarce = False
        self.refused = 0

    def left(self, transport: asyncio.BaseTransport) -> Left:
        """What is left for this connection. Its file number, the lowest free one, shows how many are open."""
        taken = transport.get_extra_info("socket")
        number = taken.fileno() if taken is not None else 0
        if number < self.for_streams and not self._is_scarce:
            return Left.ENOUGH
        self._note(number >= (self._again if self._is_scarce else self.for_streams))
        if number < self.for_streams:
            return Left.ENOUGH
        if number < self._full:
            return Left.LITTLE
        self.refused += 1
        return Left.NOTHING

    def _note(self, scarce: bool) -> None:
        """Logs each change of state once."""
        if scarce == self._is_scarce:
            return
        self._is_scarce = scarce
        self._on_state(scarce)
        fields = {"limit": self.limit, "for_streams": self.for_streams, "refused": self.refused}
        if scarce:
            log.warning(
                "open files are near their limit: new streams are refused (raise ulimit -n)",
                extra={"fields": fields},
            )
        else:
            log.warning(
                "open files are well below their limit again: streams are accepted", extra={"fields": fields}
            )


def _part(limit: int, share: int, bounds: tuple[int, int]) -> int:
    least, most = bounds
    return max(min(least, limit // 4), min(most, limit // share))


def watched_files(service: Services) -> OpenFiles:
    """Watches the files of our own server: while they are scarce, no streams are opened."""

    def on_state(scarce: bool) -> None:
        service.capacity.is_scarce = scarce
        service.metrics.files_scarce.set(scarce)

    files = OpenFiles(on_state)
    service.metrics.files_limit.set(files.limit)
    return files
