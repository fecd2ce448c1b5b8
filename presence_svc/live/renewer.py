"""Renews the leases of sessions that have a WebSocket on this replica, so that they need no heartbeats.

Owned by app, used by web.ws. A lease is renewed when a player would send its heartbeat; renewals that are due
together share exchanges with Redis (group commit). It survives outages of Redis: a failed renewal is repeated
a moment later, and a lease is long enough for several attempts.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections.abc import Callable
from functools import partial
from itertools import count

from ..errors import PresenceError, Unavailable
from ..settings import Settings
from ..store.presence import Presence
from ..store.write import HeartbeatWrite, Outcome

log = logging.getLogger("presence.renewer")
TICK_S = 0.5
AGAIN_S = 1.0
STEP = 500  # renewals in a row before other tasks may run


class Held:
    """A lease that an open socket holds. Each renewal writes `write` with `seq` (RESP-encoded)."""

    __slots__ = ("epoch", "on_left", "on_over", "released", "seq", "write")

    def __init__(
        self,
        write: HeartbeatWrite,
        seq: bytes,
        on_left: Callable[[], None],
        on_over: Callable[[], None] = lambda: None,
    ) -> None:
        self.write, self.seq = write, seq
        self.on_left, self.on_over = on_left, on_over
        self.released = False
        self.epoch = 0


class Renewer:
    """Renews a lease from `hold` to `release`.

    Calls `on_left` if another request ends the session, and `on_over` if the lease ended while this process
    was suspended.
    """

    def __init__(self, presence: Presence, settings: Settings) -> None:
        self._presence = presence
        self._interval_s, self._ttl_s = settings.heartbeat_interval, settings.ttl
        self._tick_s = min(TICK_S, self._interval_s / 10)
        self._due: list[tuple[float, int, Held]] = []
        self._number = count()
        self._epoch = 0  # counts the suspensions that ended all leases
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def __len__(self) -> int:
        return len(self._due)

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        self._stopped = True
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def hold(
        self,
        write: HeartbeatWrite,
        seq: bytes,
        on_left: Callable[[], None],
        on_over: Callable[[], None] = lambda: None,
    ) -> Held:
        """Begins to renew a lease that was recorded just now."""
        held = Held(write, seq, on_left, on_over)
        held.epoch = self._epoch
        self._plan(held, self._pause_s())
        return held

    def release(self, held: Held) -> None:
        held.released = True

    def on_suspension(self, seconds: float) -> None:
        """Lets go of all leases after more than a TTL: they have ended, and their viewers may have left."""
        if seconds > self._ttl_s:
            self._epoch += 1
            over, self._due = self._due, []
            for _, _, held in over:
                self._end(held)

    def _end(self, held: Held) -> None:
        if not held.released:
            held.released = True
            held.on_over()

    def _pause_s(self) -> float:
        """Jittered like next_heartbeat_ms, so that sessions that joined together do not stay in step."""
        return self._interval_s * random.uniform(0.8, 0.9)

    def _plan(self, held: Held, in_s: float) -> None:
        due = asyncio.get_running_loop().time() + in_s
        heapq.heappush(self._due, (due, next(self._number), held))
        self._wake.set()

    async def _run(self) -> None:
        while not self._stopped:
            try:
                await self._wake.wait()
                await asyncio.sleep(self._tick_s)
                await self._pass()
            except Exception:
                log.exception("a renewal failed")

    async def _pass(self) -> None:
        now, posted = asyncio.get_running_loop().time(), 0
        while self._due and self._due[0][0] <= now:
            held = heapq.heappop(self._due)[2]
            if not held.released:
                self._renew(held)
                posted += 1
                if posted % STEP == 0:
                    await asyncio.sleep(0)
        if not self._due:
            self._wake.clear()

    def _renew(self, held: Held) -> None:
        try:
            self._presence.post(held.write, held.seq, partial(self._renewed, held))
        except Unavailable as error:
            self._renewed(held, error)

    def _renewed(self, held: Held, result: Outcome) -> None:
        if held.released:
            return
        if held.epoch != self._epoch:
            self._end(held)
        elif isinstance(result, PresenceError):
            self._plan(held, random.uniform(0.5, 1.0) * min(AGAIN_S, self._interval_s / 4))
        elif result.expires_at <= result.as_of:
            held.on_left()
        else:
            self._plan(held, self._pause_s())
