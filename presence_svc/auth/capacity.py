"""Limits the streams and sockets of a worker: one count for both, including those that are still opening.

Asked first of all by web.sse.endpoint and web.ws.endpoint. The limits of one viewer or address are in
auth.rates.
"""

from __future__ import annotations

import random

from ..errors import Limited


class Capacity:
    """One per process. Every successful `take` must be followed by one `give_back`.

    `is_scarce` refuses all, regardless of the limit, while the process can open few more files.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self.is_scarce = False

    def take(self) -> None:
        """Raises Limited."""
        if self._taken >= self._limit or self.is_scarce:
            raise Limited("too many streams are open at this replica", retry_after_s=random.uniform(5, 15))
        self._taken += 1

    def give_back(self) -> None:
        self._taken -= 1
