"""One open stream: when it ends, its last event, and what its end releases.

Made by web.sse.endpoint; written by its coroutine, or straight to the connection by server.sse.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from ...auth.caller import Caller
from ...live.frame import bye_frame, keep_alive
from ...live.listener import Listener
from ...settings import Settings
from ..services import Services

KEEP_ALIVE_S = 15
ADOPT = "presence.adopt"  # the ASGI extension that hands a stream over to its connection


def term(settings: Settings, caller: Caller) -> tuple[float, float]:
    """When (loop time) a stream or socket reaches its lifetime, with jitter, and when its token expires."""
    now = asyncio.get_running_loop().time()
    return now + settings.stream_lifetime * random.uniform(0.9, 1.1), now + caller.expires_at - time.time()


class Stream:
    """`give_back` is called once, at the end. Times are loop times in seconds.

    `ping_s`: the interval of its comments, as the client has asked for it.
    """

    __slots__ = ("_ends_at", "_expires_at", "_give_back", "_ping_s", "_service", "deadline_s", "listener")

    def __init__(
        self,
        service: Services,
        caller: Caller,
        listener: Listener,
        give_back: Callable[[], None],
        ping_s: int = KEEP_ALIVE_S,
    ) -> None:
        self.listener = listener
        self.deadline_s = service.settings.send_deadline
        self._service = service
        self._give_back = give_back
        self._ping_s = ping_s
        self._ends_at, self._expires_at = term(service.settings, caller)
        service.metrics.streams.inc()

    def pause_s(self, now: float) -> float:
        """Seconds until a keep-alive or the end is due."""
        return max(0.0, min(self._ping_s, self._ends_at - now, self._expires_at - now))

    @property
    def keep_alive(self) -> bytes:
        """The comment that is sent when there is no event."""
        return keep_alive(0 if self._ping_s == KEEP_ALIVE_S else self._ping_s)

    def last_words(self, now: float) -> bytes:
        """The last event if the stream must end now: `reauth` (new token needed) or `bye`; else nothing."""
        if now >= self._expires_at:
            return bye_frame().replace(b"event: bye", b"event: reauth", 1)
        return bye_frame() if self.listener.closing or now >= self._ends_at else b""

    def end(self) -> None:
        """Releases everything that the stream holds."""
        self._service.hub.detach(self.listener)
        self._service.metrics.streams.dec()
        self._service.capacity.give_back()
        self._give_back()
