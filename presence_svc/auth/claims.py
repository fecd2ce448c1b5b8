"""From a token's claims to a caller: issuer, audience, times, who it is and where they may go.

Pure; called by tokens once per token, after its signature has held. Refuses what it does not understand.
"""

from __future__ import annotations

import math
import re
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..model import ID_PATTERN, AvatarUrl, Id
from ..settings import Settings
from .anonymous import PREFIX
from .caller import Caller, Role, TokenRefused

NAME_CHARS = 80
ID = re.compile(ID_PATTERN)
_id: TypeAdapter[str] = TypeAdapter(Id)
_picture: TypeAdapter[str] = TypeAdapter(AvatarUrl)


def caller_of(claims: dict[str, Any], settings: Settings, now: float) -> Caller:
    """Raises TokenRefused, with a reason that its owner may read. `now` in seconds since 1970."""
    _check_times(claims, settings.jwt_leeway, now)
    _check_parties(claims, settings)
    if settings.jwt_preset == "clerk":
        _check_clerk(claims)
    return Caller(
        Role.VIEWER,
        subject=_subject(claims),
        name=_name(_at(claims, settings.jwt_name_claim)),
        avatar_url=_avatar(_at(claims, settings.jwt_picture_claim)),
        courses=_courses(claims, settings.jwt_courses_claim),
        expires_at=_time(claims, "exp"),
    )


def _check_times(claims: dict[str, Any], leeway: float, now: float) -> None:
    if "exp" not in claims:
        raise TokenRefused("the token never expires: it needs `exp`")
    if _time(claims, "exp") + leeway <= now:
        raise TokenRefused("the token has expired")
    if "nbf" in claims and _time(claims, "nbf") - leeway > now:
        raise TokenRefused("the token is not valid yet")


def _time(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenRefused(f"`{name}` is not a time")
    return float(value)


def _check_parties(claims: dict[str, Any], settings: Settings) -> None:
    if settings.jwt_issuer is not None and claims.get("iss") != settings.jwt_issuer:
        raise TokenRefused("the token is of another issuer")
    named = claims.get("aud", [])
    audience = [named] if isinstance(named, str) else named
    if not isinstance(audience, list):
        raise TokenRefused("`aud` is not a list of names")
    # Without an audience of our own a token that names one is for somebody else (RFC 7519, 4.1.3).
    if (audience or settings.jwt_audience) and not any(name in settings.jwt_audience for name in audience):
        raise TokenRefused("the token is for another audience")
    parties = settings.jwt_authorized_parties
    if settings.jwt_preset == "clerk" and "azp" not in claims:
        return  # Clerk leaves it out where a request came without an origin
    if parties and claims.get("azp") not in parties:
        raise TokenRefused("the token was given to another party")


def _check_clerk(claims: dict[str, Any]) -> None:
    if not claims.get("sid"):
        raise TokenRefused("the token is not a session's: it has no `sid`")
    if claims.get("sts") == "pending":
        raise TokenRefused("the session is pending: its sign-in is not complete")


def _subject(claims: dict[str, Any]) -> str:
    try:
        subject = _id.validate_python(claims.get("sub"))
    except ValidationError:
        raise TokenRefused("`sub` is missing, or not an id that a viewer can have") from None
    if subject.startswith(PREFIX):
        raise TokenRefused("`sub` looks like an anonymous viewer's id")
    return subject


def _at(claims: dict[str, Any], path: str) -> Any:
    """The claim of this name, else the one that is reached by its dots."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _name(value: Any) -> str | None:
    return (value.strip()[:NAME_CHARS] or None) if isinstance(value, str) else None


def _avatar(value: Any) -> str | None:
    try:
        return _picture.validate_python(value)
    except ValidationError:
        return None


def _courses(claims: dict[str, Any], name: str | None) -> str | None:
    """As Caller has them. A token without the claim opens no course: it must say `*` to open all."""
    if name is None:
        return None
    value = _at(claims, name)
    listed = value.split() if isinstance(value, str) else value
    if not isinstance(listed, list):
        return ""
    if "*" in listed:
        return None
    return f" {' '.join(course for course in listed if isinstance(course, str) and ID.fullmatch(course))} "
