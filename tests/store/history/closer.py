"""A replica's sweeper as a process, with short minutes: `python -m tests.store.history.closer URL`."""

from __future__ import annotations

import asyncio
import sys
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


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
