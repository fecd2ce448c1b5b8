"""Sweeps every course that is due: removes expired leases, publishes messages, closes minutes (S8, S9, S13).

Started by app. Wakes when the agenda says so, when a message of this replica is due, and at the latest after
SWEEP_INTERVAL. Any number of replicas may run it at once; it survives any error in a pass.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from ..errors import Unavailable
from ..settings import Settings
from ..store.agenda import Agenda, Due
from ..store.shared import Shared, WarmState

log = logging.getLogger("presence.sweeper")
STEP, EXCHANGES = 2, 12  # courses per exchange, which block Redis for 0.1 ms each; more if many are due
SOON_S = 0.001
PAUSE_S = 0.003  # between two exchanges if little is due, so that no heartbeat waits for both
BREAK_S = 0.02  # after a pass that has removed nobody: thousands of courses are due ms apart, and can wait


class Sweeper:
    """Calls `on_warm_state` about every SWEEP_INTERVAL: which partitions' reads can be trusted (S11)."""

    def __init__(
        self,
        agenda: Agenda,
        shared: Shared,
        settings: Settings,
    ) -> None:
        self._agenda = agenda
        self._shared = shared
        self._interval = settings.sweep_interval
        self.on_warm_state: Callable[[WarmState], None] = lambda state: None
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._refreshed_at = 0.0
        self._stopped = False

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._stopped = True  # a cancel alone may be lost: on 3.11 asyncio.wait_for can swallow it
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def poke(self, delay_ms: int, partition: int = 0) -> None:
        """Wakes the sweeper in `delay_ms`, when something is due. Only the earliest poke needs a timer."""
        self._agenda.expect(delay_ms, partition)
        loop = asyncio.get_running_loop()
        at = loop.time() + delay_ms / 1000 + SOON_S
        if self._timer is None or self._timer.when() > at:
            if self._timer:
                self._timer.cancel()
            self._timer = loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._wake.set()

    async def _run(self) -> None:
        while not self._stopped:
            # Jitter keeps replicas from passing in step, and stays inside the promised interval.
            pause = self._interval * random.uniform(0.75, 1.0)
            try:
                pause = min(pause, await self.sweep())
            except Unavailable:
                log.debug("redis is away, the sweep waits")
            except Exception:
                log.exception("a sweep failed")
            if not self._stopped:
                await self._sleep(pause)

    async def _sleep(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(max(pause_s, 0)):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def sweep(self) -> float:
        """One pass; returns in how many seconds the next is due (inf = nothing is on the agenda)."""
        await self.refresh_marks()
        due = await self._agenda.due()
        next_at, pause_s = due.next_at, BREAK_S
        step = max(STEP, len(due.courses) // EXCHANGES)
        for start in range(0, len(due.courses), step):
            if start and step == STEP:
                await asyncio.sleep(PAUSE_S)
            for swept in await self._agenda.sweep(due.courses[start : start + step]):
                if swept.next_due:
                    next_at = min(next_at, swept.next_due) if next_at else swept.next_due
                if swept.removed:
                    pause_s = 0.0
        return max(pause_s, _seconds_until(next_at, due))

    async def refresh_marks(self) -> None:
        """Keeps the shared marks in Redis alive, at most twice per SWEEP_INTERVAL. Raises Unavailable."""
        now = asyncio.get_running_loop().time()
        if now - self._refreshed_at >= self._interval * 0.5:
            self.on_warm_state(await self._shared.refresh())
            self._refreshed_at = now


def _seconds_until(next_at: int, due: Due) -> float:
    return max(0.0, (next_at - due.now) / 1000) + SOON_S if next_at else float("inf")
