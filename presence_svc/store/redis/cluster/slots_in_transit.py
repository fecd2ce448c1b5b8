"""The slots that are being migrated key by key, as their nodes report it. Written by router, read by link.

In the meantime nothing can be written to the slot's partition (docs/cluster.md), and calls for it wait. They
get a queue of their own, so that they delay no others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

KEPT_S = 1.0  # how long a slot counts as migrating after a node last said so


class Moves:
    """`on_change` is called when a slot is added or removed. `until` is nearly always empty."""

    def __init__(self) -> None:
        self.on_change: Callable[[], object] = lambda: None
        self.until: dict[int, float] = {}

    def saw(self, slot: int) -> None:
        """Notes that a node has said that this slot is being migrated."""
        is_new = slot not in self.until
        self.until[slot] = asyncio.get_running_loop().time() + KEPT_S
        if is_new:
            self.on_change()

    def __contains__(self, slot: int) -> bool:
        if slot not in self.until:
            return False
        if self.until[slot] > asyncio.get_running_loop().time():
            return True
        del self.until[slot]
        self.on_change()
        return False
