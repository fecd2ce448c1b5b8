"""`presence-svc token`: a token for development, signed with PRESENCE_JWT_SECRET; the doctor's look at one.

Refuses without that secret: whoever has keys elsewhere has an issuer for tokens too.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from joserfc import jwk, jwt

from ..errors import Misconfigured, PresenceError
from ..settings import Settings, load
from ..store.checkup import Finding
from ..web.auth.caller import Caller
from ..web.auth.tokens import Tokens


def make(viewer_id: str, *, name: str | None, courses: tuple[str, ...], seconds: float) -> str:
    """A token that a service with the same settings believes. Raises Misconfigured."""
    settings = load()
    if settings.jwt_secret is None:
        raise Misconfigured(
            "PRESENCE_JWT_SECRET is not set: tokens for development are signed with it"
            " (PRESENCE_AUTH=jwt, and 32 bytes or more, for instance of `openssl rand -hex 32`)"
        )
    key = jwk.OctKey.import_key(settings.jwt_secret.get_secret_value())
    return jwt.encode({"alg": "HS256"}, _claims(settings, viewer_id, name, courses, seconds), key)


def _claims(
    settings: Settings, viewer_id: str, name: str | None, courses: tuple[str, ...], seconds: float
) -> dict[str, Any]:
    now = int(time.time())
    claims: dict[str, Any] = {"sub": viewer_id, "iat": now, "exp": now + seconds}
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


def examine(settings: Settings, token: str) -> Finding:
    """Whether the service would believe this token, and if not, why."""
    if settings.auth != "jwt":
        return Finding(False, "token", "PRESENCE_AUTH is not jwt: tokens are not looked at")
    try:
        caller = asyncio.run(_judge(settings, token))
    except PresenceError as error:
        return Finding(False, "token", error.detail)
    return Finding(True, "token", _described(caller))


async def _judge(settings: Settings, token: str) -> Caller:
    tokens = Tokens(settings)
    try:
        caller = tokens.judge(token.strip().encode())
        return caller if isinstance(caller, Caller) else await caller
    finally:
        await tokens.keys.close()


def _described(caller: Caller) -> str:
    if not caller.subject:
        return "an API key of the service role"
    courses = (
        "any course" if caller.courses is None else f"courses {', '.join(caller.courses.split()) or 'none'}"
    )
    left_s = round(caller.expires_at - time.time())
    return f"viewer {caller.subject}, name {caller.name or 'none'}, {courses}, {left_s} s left"
