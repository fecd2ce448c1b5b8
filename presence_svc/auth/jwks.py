"""The issuer's published keys: fetched once for all who wait, cached, and renewed in the background.

Used by tokens. While the key server is down, the last keys serve if they are recent enough. An unknown `kid`
causes a fetch at once, but then at most every 30 s, so that forged ids cannot cause a flood of fetches.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from codecs import BOM_UTF8
from collections.abc import Callable
from time import monotonic

import httpx2
import orjson

from ..errors import Unavailable
from .signing_key import SigningKey, from_jwks

log = logging.getLogger("presence.jwks")
RENEW_S = 240.0
FRESH_S = 300.0  # older keys are not used before a new fetch
AWAY_S = 60.0  # how long the last keys serve after a failed fetch
KEPT_S = 86_400.0
COOLDOWN_S = 30.0
RETRY_S = 1.0
TIMEOUT_S = 3.0
SIZE_LIMIT = 262_144


class FixedKey:
    """A key from a PEM or a secret, for any `kid` of a token."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def find(self, kid: str) -> list[SigningKey]:
        return [self._key]

    def may_look(self) -> bool:
        return False

    async def look(self) -> None:
        return

    def check(self) -> None:
        return

    async def close(self) -> None:
        return


class Jwks:
    """The keys of a JWKS URL. `clock` is monotonic, in seconds.

    `trouble`: why the last fetch failed; "" if it succeeded.
    """

    def __init__(self, url: str, clock: Callable[[], float] = monotonic) -> None:
        self.url = url
        self.trouble = ""
        self._clock = clock
        self._keys: list[SigningKey] = []
        self._renew_at = self._believed_until = self._kept_until = self._look_at = -math.inf
        self._flight: asyncio.Task[None] | None = None

    def find(self, kid: str) -> list[SigningKey]:
        """The cached keys with this `kid` (all keys if it is empty), if they are recent enough.

        Keys in use are renewed before they get old, so that nobody waits.
        """
        now = self._clock()
        if now >= self._believed_until:
            return []
        if now >= self._renew_at:
            self._fetch()
        return [key for key in self._keys if not kid or key.kid == kid]

    def may_look(self) -> bool:
        """Whether waiting for `look` may help: a fetch is under way, or may begin."""
        return self._flight is not None or self._clock() >= self._look_at

    async def look(self) -> None:
        """Fetches the keys because `find` lacks one, unless that was done just now."""
        if self._flight is None and self.may_look():
            if self._clock() < self._believed_until:
                self._look_at = self._clock() + COOLDOWN_S
            self._fetch()
        if self._flight is not None:
            await asyncio.shield(self._flight)

    def check(self) -> None:
        """Raises Unavailable while a key that `find` lacks may be published: the last fetch failed."""
        if self.trouble or self._clock() >= self._believed_until:
            raise Unavailable("the keys of the token's issuer are not available", retry_after_s=RETRY_S)

    async def close(self) -> None:
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    def _fetch(self) -> None:
        if self._flight is None:
            self._flight = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                keys = from_jwks(orjson.loads((await self._download()).removeprefix(BOM_UTF8)))
            if not keys:
                raise ValueError("it contains no usable key")
        except Exception as error:  # whatever the server answers, later fetches must happen
            self._failed(str(error)[:200] or type(error).__name__)
        else:
            self._read(keys)
        finally:
            self._flight = None

    def _read(self, keys: list[SigningKey]) -> None:
        now = self._clock()
        self._keys, self.trouble = keys, ""
        self._renew_at, self._believed_until = now + RENEW_S, now + FRESH_S
        self._kept_until = now + KEPT_S

    def _failed(self, trouble: str) -> None:
        """Keeps the last keys, for at most a day. An unknown key may be looked up soon, as it may be new."""
        log.warning("the issuer's keys cannot be fetched: %s", trouble)
        now = self._clock()
        self.trouble = trouble
        self._renew_at, self._look_at = now + COOLDOWN_S, now + RETRY_S
        self._believed_until = min(now + AWAY_S, self._kept_until)

    async def _download(self) -> bytes:
        """Downloads at most SIZE_LIMIT bytes, without following redirects."""
        async with contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(httpx2.AsyncClient(timeout=TIMEOUT_S))
            response = await stack.enter_async_context(client.stream("GET", self.url))
            if response.status_code != 200:
                raise ValueError(f"status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > SIZE_LIMIT:
                    raise ValueError("too large")
            return bytes(body)
