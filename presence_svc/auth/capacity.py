"""How many streams and sockets a worker has room for: one count for both, those that are still opening too.

Asked by web.sse.endpoint and web.ws.endpoint, before anything is spent on whoever comes. How many one viewer
or one address may open is in auth.rates.
"""

from __future__ import annotations

import random

from ..errors import Limited


class Capacity:
    """One per process. Each `take` that does not raise is followed by one `give_back`.

    `is_scarce` closes it for a while, whatever its room: the process may not open many more files.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._taken = 0
        self.is_scarce = False

    def take(self) -> None:
        """Raises Limited."""
        if self._taken >= self._room or self.is_scarce:
            raise Limited("too many streams are open here", retry_after_s=random.uniform(5, 15))
        self._taken += 1

    def give_back(self) -> None:
        self._taken -= 1
