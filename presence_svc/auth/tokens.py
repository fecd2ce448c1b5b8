"""Judges bearer tokens: signature, claims, and a memory of verdicts, so that a token is verified once.

Asked by admission; answers at once when the key is at hand. Refuses with TokenRefused.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import orjson
from joserfc.jws import deserialize_compact
from joserfc.util import urlsafe_b64decode

from ..settings import Settings
from ..text import loads_as_said
from .caller import SERVICE, Caller, Role, TokenRefused
from .claims import caller_of
from .jwks import FixedKey, Jwks
from .signing_key import SigningKey, from_pem, from_secret, stated
from .token_cache import TokenCache

VERDICT_S = 300.0  # with jwks.FRESH_S: for how long a key that its issuer withdraws is believed
TOKEN_BYTES = 8_192
TRIED = 4  # keys of one algorithm, for a token that does not say which
TYPES = ("jwt", "at+jwt", "application/at+jwt")


class Tokens:
    """`clock` (seconds since 1970) judges tokens; verdicts expire by `elapsed`, which is never set back.

    `on_repair` is called for claims with half a surrogate pair.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        on_repair: Callable[[], object] = lambda: None,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._elapsed = elapsed
        self._on_repair = on_repair
        self._clock = clock
        self._salt = secrets.token_bytes(16)
        self._keys = [
            (self._digest(key.get_secret_value().encode()), SERVICE) for key in settings.service_keys
        ]
        self._keys += [
            (self._digest(key.encode()), creator(key, courses)) for key, courses in settings.creators
        ]
        self._verdicts = TokenCache()
        self.keys = _keys(settings)

    def judge(self, token: bytes) -> Caller | Awaitable[Caller]:
        """Whose token this is. Raises TokenRefused, now or when awaited; or Unavailable, without keys."""
        known = self.remembered(token)
        if known is not None:
            return known
        digest = self._digest(token)
        holder = self._holder(digest)
        if holder is not None:
            return self._remember(digest, holder)
        kid, algorithm = _header(token)
        keys = self.keys.find(kid)
        if not keys and self.keys.may_look():
            return self._look_and_verify(token, digest, kid, algorithm)
        return self._verify(token, digest, keys, algorithm)

    def remembered(self, token: bytes) -> Caller | None:
        """The verdict on a token that was judged before, while it holds."""
        caller = self._verdicts.get(self._digest(token))
        return caller if caller is not None and self.holds(caller) else None

    def holds(self, caller: Caller) -> bool:
        """Whether the verdict that this caller is may be relied on still."""
        return self._elapsed() < caller.holds_until

    def _digest(self, token: bytes) -> bytes:
        return blake2b(token, key=self._salt, digest_size=16).digest()

    def _holder(self, digest: bytes) -> Caller | None:
        """Whose API key this is. Compares with every key, and each in constant time."""
        found = [caller for known, caller in self._keys if hmac.compare_digest(digest, known)]
        return found[0] if found else None

    async def _look_and_verify(self, token: bytes, digest: bytes, kid: str, algorithm: str) -> Caller:
        await self.keys.look()
        return self._verify(token, digest, self.keys.find(kid), algorithm)

    def _verify(self, token: bytes, digest: bytes, keys: list[SigningKey], algorithm: str) -> Caller:
        if not keys:
            self.keys.check()
            raise TokenRefused("the token is signed with a key that its issuer does not publish")
        fitting = [key for key in keys if algorithm in key.algorithms]
        if not fitting:
            raise TokenRefused("the token's `alg` does not match its key")
        signed = _signed(token, fitting[:TRIED])
        try:
            claims = loads_as_said(signed, self._on_repair)
        except ValueError:
            raise TokenRefused("the token's payload is not JSON") from None
        if not isinstance(claims, dict):
            raise TokenRefused("the token's payload is not an object of claims")
        return self._remember(digest, caller_of(claims, self._settings, self._clock()))

    def _remember(self, digest: bytes, caller: Caller) -> Caller:
        now = self._elapsed()
        left_s = caller.expires_at + self._settings.jwt_leeway - self._clock()
        verdict = replace(caller, holds_until=now + min(left_s, VERDICT_S))
        self._verdicts.remember(digest, verdict, now)
        return verdict


def _keys(settings: Settings) -> FixedKey | Jwks:
    if settings.jwt_secret is not None:
        return FixedKey(from_secret(settings.jwt_secret.get_secret_value()))
    if settings.jwt_public_key:
        return FixedKey(from_pem(settings.jwt_public_key))
    return Jwks(settings.jwks_url or "")


def creator(key: str, courses: tuple[str, ...]) -> Caller:
    """The holder of a creator's key; limits know them by a digest of it, which is no viewer's id."""
    listed = None if "*" in courses else f" {' '.join(courses)} "
    return Caller(
        Role.CREATOR, subject="creator/" + blake2b(key.encode(), digest_size=16).hexdigest(), courses=listed
    )


def _header(token: bytes) -> tuple[str, str]:
    """The token's `kid` ("" for none) and `alg`, before anything of it is believed."""
    if len(token) > TOKEN_BYTES or token.count(b".") != 2:
        raise TokenRefused("this is not a token")
    try:
        header: Any = orjson.loads(urlsafe_b64decode(token.split(b".", 1)[0]))
    except ValueError:
        raise TokenRefused("this is not a token") from None
    if not isinstance(header, dict):
        raise TokenRefused("this is not a token")
    if "crit" in header:  # RFC 7515, 4.1.11: there is no extension that we understand
        raise TokenRefused("the token's header requires an extension (`crit`)")
    said = stated(header)
    kid, algorithm, kind = said.get("kid", ""), said.get("alg"), said.get("typ", "JWT")
    if not isinstance(kid, str) or not isinstance(algorithm, str):
        raise TokenRefused("the token's header is invalid")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise TokenRefused("the token's `typ` is not that of a JWT")
    return kid, algorithm


def _signed(token: bytes, keys: list[SigningKey]) -> bytes:
    """What one of these keys has signed. Whatever a parser makes of hostile bytes is a refusal."""
    for key in keys:
        with suppress(Exception):
            return deserialize_compact(token, key.key, registry=key.registry).payload or b""
    raise TokenRefused("the token's signature is invalid")
