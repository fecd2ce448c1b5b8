"""`presence-svc token` makes a token for development; `doctor --token` checks one.

Tokens are signed with PRESENCE_JWT_SECRET. Without it the command refuses, since other keys belong to an
issuer that makes its own tokens. It also refuses to make a token that the service would not accept.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from joserfc import jwk, jwt

from ..auth.caller import Caller, Role, TokenRefused
from ..auth.jwks import FixedKey, Jwks
from ..auth.tokens import Tokens
from ..errors import Forbidden, Misconfigured, PresenceError
from ..settings import Settings, load
from ..store.checkup.finding import Finding


def make(viewer_id: str, *, name: str | None, courses: tuple[str, ...], seconds: float) -> str:
    """Makes a token, valid for `seconds`, for a service with the same settings. Raises Misconfigured."""
    settings = load()
    if settings.jwt_secret is None:
        raise Misconfigured(
            "PRESENCE_JWT_SECRET is not set: tokens for development are signed with it"
            " (PRESENCE_AUTH=jwt, and 32 bytes or more, for instance from `openssl rand -hex 32`)"
        )
    if courses and settings.jwt_courses_claim is None:
        raise Misconfigured("PRESENCE_JWT_COURSES_CLAIM is not set: any token opens every course")
    key = jwk.OctKey.import_key(settings.jwt_secret.get_secret_value())
    token = jwt.encode({"alg": "HS256"}, _claims(settings, viewer_id, name, courses, seconds), key)
    try:
        caller = asyncio.run(_judge(Tokens(settings), token))
        for course in courses:
            caller.check_course(course)
    except (TokenRefused, Forbidden) as error:
        raise Misconfigured(f"such a token would be refused: {error.detail}") from None
    return token


def _claims(
    settings: Settings, viewer_id: str, name: str | None, courses: tuple[str, ...], seconds: float
) -> dict[str, Any]:
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": viewer_id,
        settings.jwt_id_claim: viewer_id,
        "iat": now,
        "exp": now + seconds,
    }
    if settings.jwt_issuer:
        claims["iss"] = settings.jwt_issuer
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience[0]
    if settings.jwt_authorized_parties:
        claims["azp"] = settings.jwt_authorized_parties[0]
    if settings.jwt_preset == "clerk":
        claims["sid"] = "sess_development"
    if name:
        claims[settings.jwt_name_claim] = name
    if settings.jwt_courses_claim:
        claims[settings.jwt_courses_claim] = list(courses or ("*",))
    return claims


def examine(settings: Settings, token: str | None) -> list[Finding]:
    """Findings about the issuer's keys, and about the token: whether it is accepted, or why not."""
    if settings.auth == "jwt":
        return asyncio.run(_examine(settings, token))
    if token is None:
        return []
    return [Finding(False, "token", "PRESENCE_AUTH is not jwt: tokens are ignored")]


async def _examine(settings: Settings, token: str | None) -> list[Finding]:
    try:
        tokens = Tokens(settings)
    except Misconfigured as error:
        return [Finding(False, "keys", error.detail)]
    try:
        keys = await _keys(tokens.keys)
        return keys if token is None else [*keys, await _verdict(tokens, token, settings.jwt_courses_claim)]
    finally:
        await tokens.keys.close()


async def _keys(keys: FixedKey | Jwks) -> list[Finding]:
    if isinstance(keys, FixedKey):
        return []
    await keys.look()
    found = f"{len(keys.find(''))} published" if not keys.trouble else f"not fetched: {keys.trouble}"
    return [Finding(not keys.trouble, "keys", f"{found}, {keys.url}")]


async def _verdict(tokens: Tokens, token: str, claim: str | None) -> Finding:
    try:
        caller = await _judge(tokens, token)
    except PresenceError as error:
        return Finding(False, "token", error.detail)
    if caller.role is Role.CREATOR:
        return Finding(True, "token", f"a creator's key, courses {(caller.courses or '*').strip()}")
    if not caller.subject:
        return Finding(True, "token", "an API key of the service role")
    if caller.courses is None:
        return Finding(True, "token", f"{_described(caller)}, any course")
    listed = caller.courses.split()
    opened = f"courses {', '.join(listed)}" if listed else f"opens no course: its claim `{claim}` lists none"
    return Finding(bool(listed), "token", f"{_described(caller)}, {opened}")


async def _judge(tokens: Tokens, token: str) -> Caller:
    """Takes a bare token, or one with `Bearer` before it as in a header."""
    scheme, _, rest = token.strip().partition(" ")
    bare = rest if scheme.lower() == "bearer" else token
    caller = tokens.judge(bare.strip().encode(errors="surrogateescape"))
    return caller if isinstance(caller, Caller) else await caller


def _described(caller: Caller) -> str:
    """The name is printed with repr(), since it may contain line breaks or terminal commands."""
    left_s = round(caller.expires_at - time.time())
    return f"viewer {caller.subject}, name {caller.name!r}, {left_s} s left"
