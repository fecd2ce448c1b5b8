"""Loads the scripts into every node of a Cluster, so that no call has to be sent twice. Used by link.

Each node has its own cache, also a replica, which keeps it when it becomes the master. Where loading fails or
is forbidden, and where a node has lost its cache, a call sends the script's text.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence

from ..connection import dial
from ..resp import packed_command
from ..url import Access, Address

log = logging.getLogger("presence.redis")
LONGEST_S = 2.0  # nobody waits for it but a start


class ScriptCaches:
    """Knows which nodes were loaded; does nothing before it has the scripts (`texts`)."""

    def __init__(self, access: Access) -> None:
        self.texts: Sequence[str] = ()
        self._access = access
        self._loaded: set[Address] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, nodes: Collection[Address]) -> None:
        """Loads the nodes that are new, beside whatever is under way. One that was gone is new again."""
        self._loaded.intersection_update(nodes)
        if self.texts and not self._loaded.issuperset(nodes):
            task = asyncio.get_running_loop().create_task(self.load(nodes))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def load(self, nodes: Collection[Address]) -> None:
        """Returns when all of these nodes have the scripts, or have failed. Raises nothing."""
        new = [address for address in nodes if address not in self._loaded]
        self._loaded.update(new)
        await asyncio.gather(*map(self._load, new))

    async def _load(self, address: Address) -> None:
        packed = [packed_command("SCRIPT", "LOAD", text) for text in self.texts]
        try:
            connection = await dial(address, self._access, timeout_s=LONGEST_S)
            try:
                until = asyncio.get_running_loop().time() + LONGEST_S
                await connection.exchange(b"".join(packed), len(packed), until)
            finally:
                connection.abort()
        except Exception as error:
            self._loaded.discard(address)
            log.debug("%s: no scripts loaded: %s", address, str(error) or type(error).__name__)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
