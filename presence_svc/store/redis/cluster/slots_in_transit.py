"""Slots that are being moved key by key, as their nodes say it. Written by router, read by link.

While it is moved nothing is written to a slot's partition (docs/cluster.md), and whoever waits for the end of
that shall hold up nobody else: so calls for such a slot go by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

KEPT_S = 1.0  # for so long after a node has last said so


class Moves:
    """`on_change` is called when a slot begins or ceases to be one of them. `until`: nearly always empty."""

    def __init__(self) -> None:
        self.on_change: Callable[[], object] = lambda: None
        self.until: dict[int, float] = {}

    def saw(self, slot: int) -> None:
        """A node has said that the slot is being moved."""
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
