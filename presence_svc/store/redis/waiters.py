"""Who waits for a wire: two queues, the patient behind the others. Used by pool."""

from __future__ import annotations

import asyncio
from collections import deque

from ...errors import Unavailable
from .wire import Wire

Waiter = asyncio.Future[Wire]


class Waiters:
    """Each waiter is a future for a wire; who has given up meanwhile is passed over."""

    def __init__(self) -> None:
        self._first: deque[Waiter] = deque()
        self._patient: deque[Waiter] = deque()

    def __bool__(self) -> bool:
        return bool(self._first or self._patient)

    def add(self, *, patient: bool) -> Waiter:
        waiter: Waiter = asyncio.get_running_loop().create_future()
        (self._patient if patient else self._first).append(waiter)
        return waiter

    def put_back(self, waiter: Waiter, *, patient: bool) -> None:
        """To the head of its queue."""
        (self._patient if patient else self._first).appendleft(waiter)

    def discard(self, waiter: Waiter) -> None:
        for queue in (self._first, self._patient):
            if waiter in queue:
                queue.remove(waiter)

    def wanted(self, patient_allowed: int) -> int:
        """How many wires would be of use now."""
        return len(self._first) + min(len(self._patient), patient_allowed)

    def next(self, *, patient: bool) -> tuple[Waiter, bool] | None:
        """Who is to have the next wire, and whether that is a patient one; `patient`: those too."""
        for queue, is_patient in ((self._first, False), (self._patient, True)):
            while queue and (patient or not is_patient):
                waiter = queue.popleft()
                if not waiter.done():
                    return waiter, is_patient
        return None

    def fail(self, kind: type[Unavailable], why: str) -> None:
        for queue in (self._first, self._patient):
            while queue:
                waiter = queue.popleft()
                if not waiter.done():
                    waiter.set_exception(kind(why))
