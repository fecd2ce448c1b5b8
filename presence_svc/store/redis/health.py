"""The circuit breaker of one server: whether it answers and accepts writes, and the probe while it does not.

Used by node, which reports each reply. While the breaker is open ("away"), only the probe connects, a few
times a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ...errors import Away, Unavailable
from .pool import Pool
from .reply import EVERYDAY, LOST, NOT_SERVING, REFUSES_WRITES, RENEWS, ReplyError

log = logging.getLogger("presence.redis")
PROBE_S = 0.2
AGAIN_S = 30.0
REFUSING_S = 1.0  # between two probes of a server that refuses writes


class Absence:
    """Logs why no server can be found, and when one was: for links that have to discover their servers."""

    def __init__(self) -> None:
        self._why = ""
        self._logged_at = 0.0

    def begin(self, why: str) -> None:
        """Logs once, and again for a new reason, at most every AGAIN_S: nodes may give different reasons."""
        now = asyncio.get_running_loop().time()
        if not self._why or (why != self._why and now - self._logged_at > AGAIN_S):
            self._why, self._logged_at = why, now
            log.warning("redis is away: %s", why)

    def end(self) -> None:
        if self._why:
            self._why = ""
            log.warning("redis is back")


class Health:
    """`away`: the server does not answer or does not serve; `refusing`: why it refuses writes, or ""."""

    def __init__(self, pool: Pool, probe: bytes, timeout_s: float) -> None:
        self.probe = probe
        self.away = False
        self.refusing = ""
        self.on_back: Callable[[], object] = lambda: None
        self.on_refusal: Callable[[str], object] = lambda code: None
        self._pool = pool
        self._timeout_s = timeout_s
        self._renewed = 0.0
        self._watch: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._watch:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    def judge(self, reply: ReplyError) -> None:
        """Draws conclusions from an error reply about the server and our connections to it."""
        code = reply.code
        if code in EVERYDAY:
            return
        self.on_refusal(code)
        if code in NOT_SERVING:
            self._pool.renew()
            self.lose(code)
        elif code in RENEWS and (now := asyncio.get_running_loop().time()) - self._renewed > REFUSING_S:
            self._renewed = now
            self._pool.renew()
        if code in REFUSES_WRITES:
            if self.refusing != code:
                log.warning("redis accepts no writes: %s", code)
            self.refusing = code
            self._start_watch()

    def lose(self, why: BaseException | str) -> None:
        """The server is away: until a probe is answered, callers fail at once, not at their deadline."""
        if not self.away:
            self.away = True
            log.warning("redis is away: %s", str(why) or type(why).__name__)
            self._pool.fail(Away, "Redis is away")
            self._start_watch()

    def _start_watch(self) -> None:
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._until_well())

    async def _until_well(self) -> None:
        """Probes until the server answers and accepts writes. Nothing else connects in the meantime."""
        while self.away or self.refusing:
            await asyncio.sleep(PROBE_S if self.away else REFUSING_S)
            try:
                await self._probe_once()
            except Exception:
                log.exception("a probe of redis failed")

    async def _probe_once(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            connection = await self._pool.take(loop.time() + self._timeout_s)
        except (Unavailable, *LOST):
            return
        try:
            (reply,) = await connection.exchange(self.probe, 1, loop.time() + self._timeout_s)
        except LOST:
            self._pool.drop(connection)
            if self.away:
                self._pool.renew()  # the other open connections are just as dead
            return
        except BaseException:
            self._pool.drop(connection)
            raise
        code = reply.code if isinstance(reply, ReplyError) else ""
        if code in NOT_SERVING | RENEWS:
            self._pool.renew()
        self._pool.give(connection)
        if code in NOT_SERVING:
            return
        if self.refusing and code not in REFUSES_WRITES:
            log.warning("redis accepts writes again")
            self.refusing = ""
        if self.away:
            self.away = False
            log.warning("redis is back")
            self.on_back()
