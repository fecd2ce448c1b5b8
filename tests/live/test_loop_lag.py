"""A loop that is held shows it in the metric."""

from __future__ import annotations

import asyncio
import time

from presence_svc.live.loop_lag import EVERY_S, LoopLag


async def test_what_holds_the_loop_is_seen() -> None:
    """By as much as it was held, and no longer than it is measured."""
    lags: list[float] = []
    lag = LoopLag(lags.append)
    lag.start()
    await asyncio.sleep(EVERY_S / 5)
    time.sleep(3 * EVERY_S)  # noqa: ASYNC251 - it is what must not be
    await asyncio.sleep(EVERY_S / 5)
    lag.stop()
    seen = len(lags)
    await asyncio.sleep(2 * EVERY_S)

    assert max(lags) >= EVERY_S
    assert len(lags) == seen
