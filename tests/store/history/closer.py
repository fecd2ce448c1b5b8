"""A replica's sweeper as a process, with short minutes: `python -m tests.store.history.closer URL AHEAD_S`.

Its clock is ahead by so many seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from presence_svc.live.sweeper import Sweeper
from presence_svc.store.agenda import Agenda
from presence_svc.store.redis.factory import open_link
from presence_svc.store.shared import Shared
from tests.store.history.clock import ShortMinutes

QUICK: dict[str, Any] = {
    "ttl": 3, "hidden_ttl": 6, "heartbeat_interval": 1, "leave_grace": 1, "sweep_interval": 0.25,
    "history_minutes": "6h", "history_quarters": "1d", "history_days": "30d",
}  # fmt: skip


async def main(url: str) -> None:
    settings = ShortMinutes(redis_url=url, **QUICK)
    link = open_link(settings)
    sweeper = Sweeper(Agenda(link, settings), Shared(link, settings), settings)
    link.observe(on_back=lambda: sweeper.poke(0))
    sweeper.start()
    await asyncio.Event().wait()


def set_ahead(seconds: int) -> None:
    """Turns this process's clock; what is measured by the loop's clock goes on as it did."""
    right, right_ns = time.time, time.time_ns
    time.time = lambda: right() + seconds
    time.time_ns = lambda: right_ns() + seconds * 1_000_000_000


if __name__ == "__main__":
    set_ahead(int(sys.argv[2]))
    asyncio.run(main(sys.argv[1]))
