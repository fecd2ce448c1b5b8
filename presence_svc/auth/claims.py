"""Turns a token's claims into a caller: issuer, audience, times, the viewer and their courses.

Pure; called by tokens once per token, after its signature is verified. Refuses what it does not understand.
"""

from __future__ import annotations

import math
import re
from typing import Any, cast

from joserfc.errors import ExpiredTokenError, InvalidClaimError, MissingClaimError
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry
from pydantic import TypeAdapter, ValidationError

from ..model import ID_PATTERN, AvatarUrl
from ..settings import Settings
from ..text import shown, whole
from .caller import Caller, Role, TokenRefused
from .signing_key import stated
from .subject import claimed, viewer_id_of

NAME_CHARS = 80
ID = re.compile(ID_PATTERN)
LAST_S = 253_402_300_799  # the year 9999: a later one is in ms by mistake, and the token would never expire
NO_END = "the token never expires: it needs `exp`"
OTHER_ISSUER = "the token is from another issuer"
_picture: TypeAdapter[str] = TypeAdapter(AvatarUrl)


def caller_of(claims: dict[str, Any], settings: Settings, now: float) -> Caller:
    """Raises TokenRefused with a reason that its owner may see. `now` is in seconds since 1970."""
    claims = stated(claims)
    _check_registered(claims, settings, now)
    _check_parties(claims, settings)
    if settings.jwt_preset == "clerk":
        _check_clerk(claims)
    claim = claimed(_at(claims, settings.jwt_id_claim), settings.jwt_id_claim)
    subject = viewer_id_of(claim)
    return Caller(
        Role.VIEWER,
        subject=subject,
        claimed_id="" if claim == subject else whole(claim),
        name=_name(_at(claims, settings.jwt_name_claim)),
        avatar_url=_avatar(_at(claims, settings.jwt_picture_claim)),
        courses=_courses(claims, settings.jwt_courses_claim),
        owned=_owned(claims, settings.jwt_creator_claim),
        expires_at=float(claims["exp"]),
    )


def _check_registered(claims: dict[str, Any], settings: Settings, now: float) -> None:
    """Times and issuer, by the rules of RFC 7519."""
    issuer: dict[str, ClaimsOption] = {}
    if settings.jwt_issuer is not None:
        issuer["iss"] = {"essential": True, "value": settings.jwt_issuer}
    registry = JWTClaimsRegistry(
        now=cast(Any, lambda: now), leeway=cast(Any, settings.jwt_leeway), exp={"essential": True}, **issuer
    )
    try:
        registry.validate({name: claims[name] for name in ("exp", "nbf", *issuer) if name in claims})
    except ExpiredTokenError:
        raise TokenRefused("the token has expired") from None
    except MissingClaimError as error:
        is_time = error.claim != "iss"  # if several are missing, the time is reported first
        raise TokenRefused(NO_END if is_time else OTHER_ISSUER) from None
    except InvalidClaimError as error:
        raise TokenRefused(_wrong(error.claim, claims)) from None
    if claims["exp"] > LAST_S:
        raise TokenRefused("`exp` is not a time in seconds since 1970")


def _wrong(name: str, claims: dict[str, Any]) -> str:
    if name == "iss":
        return OTHER_ISSUER
    value = claims[name]
    is_time = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return "the token is not valid yet" if is_time else f"`{name}` is not a time"


def _check_parties(claims: dict[str, Any], settings: Settings) -> None:
    named = claims.get("aud", [])
    audience = [named] if isinstance(named, str) else named
    if not isinstance(audience, list):
        raise TokenRefused("`aud` is not a list of names")
    # If we have no audience configured, a token that names one is for somebody else (RFC 7519, 4.1.3).
    if (audience or settings.jwt_audience) and not any(name in settings.jwt_audience for name in audience):
        raise TokenRefused("the token is for another audience")
    parties = settings.jwt_authorized_parties
    if settings.jwt_preset == "clerk" and "azp" not in claims:
        return  # Clerk omits it if a request had no origin
    if parties and claims.get("azp") not in parties:
        raise TokenRefused("the token was issued to another party")


def _check_clerk(claims: dict[str, Any]) -> None:
    if not claims.get("sid"):
        raise TokenRefused("the token belongs to no session: it has no `sid`")
    if claims.get("sts") == "pending":
        raise TokenRefused("the session is pending: its sign-in is not complete")


def _at(claims: dict[str, Any], path: str) -> Any:
    """The claim of this name, else the nested claim at this dotted path."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _name(value: Any) -> str | None:
    """None if nothing of it would be visible. Lone surrogates are repaired, as they cannot be stored."""
    return shown(whole(value).strip()[:NAME_CHARS]) if isinstance(value, str) else None


def _avatar(value: Any) -> str | None:
    try:
        return _picture.validate_python(whole(value) if isinstance(value, str) else value)
    except ValidationError:
        return None


def _courses(claims: dict[str, Any], name: str | None) -> str | None:
    """As in Caller. A token without the claim gives access to no course; `*` gives access to all."""
    return None if name is None else _listed(_at(claims, name))


def _owned(claims: dict[str, Any], name: str | None) -> str | None:
    """As in Caller: the courses whose creator this is."""
    return "" if name is None else _listed(_at(claims, name))


def _listed(value: Any) -> str | None:
    """Ids with a blank around each; None for all courses."""
    listed = value.split() if isinstance(value, str) else value
    if not isinstance(listed, list):
        return ""
    if "*" in listed:
        return None
    return f" {' '.join(course for course in listed if isinstance(course, str) and ID.fullmatch(course))} "
