"""Whose presence a body is about, and under which name: by the body or by the token.

Called by admission and claims. A token's claim is the viewer's id if it is a valid one; else the id is `h.`
and the claim's SHA-256 in base64url. A claim that looks like such a digest is hashed too: ids stay unique.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..errors import Forbidden, Invalid
from ..model import ID_PATTERN, Heartbeat, Id, Leave
from .anonymous_ids import PREFIX
from .caller import Caller, TokenRefused

EXACT = 2**53  # from here on numbers that JSON libraries read as floats are not exact
_DIGEST = re.compile(r"h\.[A-Za-z0-9_-]{43}")
_ID = re.compile(ID_PATTERN.removeprefix("^").removesuffix("$"))
_id: TypeAdapter[str] = TypeAdapter(Id)


def named(body: Heartbeat | Leave, *base: str | int) -> str:
    """The viewer that a body names. Raises Invalid if it names none, or if the id is malformed."""
    viewer_id = body.viewer_id
    if viewer_id is None:
        raise Invalid([(_pointer(*base), "is required")])
    if _ID.fullmatch(viewer_id):
        return viewer_id
    try:
        return _id.validate_python(viewer_id)
    except ValidationError as error:
        raise Invalid([(_pointer(*base), error.errors()[0]["msg"])]) from None


def _pointer(*base: str | int) -> str:
    return "/" + "/".join(map(str, (*base, "viewer_id")))


def own(caller: Caller, claimed: str | None) -> str:
    """The token's viewer, by id or by the token's claim. Raises Forbidden if the body names another one."""
    if claimed is not None and claimed not in (caller.subject, caller.claimed_id):
        raise Forbidden("the token is another viewer's")
    return caller.subject


def under_own_name(caller: Caller, heartbeat: Heartbeat, names_from_body: bool) -> Heartbeat:
    """The heartbeat with the token's name and picture; the body's own count only if settings allow that."""
    name, avatar_url = caller.name, caller.avatar_url
    if names_from_body:
        name, avatar_url = name or heartbeat.name, avatar_url or heartbeat.avatar_url
    if name == heartbeat.name and avatar_url == heartbeat.avatar_url:
        return heartbeat
    return heartbeat.model_copy(update={"name": name, "avatar_url": avatar_url})


def viewer_id_of(claim: str) -> str:
    """The viewer id for the value of a token's claim."""
    if _ID.fullmatch(claim) and not _DIGEST.fullmatch(claim):
        return claim
    digest = sha256(claim.encode("utf-8", "surrogatepass")).digest()
    return "h." + urlsafe_b64encode(digest).decode().rstrip("=")


def claimed(value: Any, name: str) -> str:
    """The value of the claim of this name as a text. Raises TokenRefused."""
    if value is None:
        raise TokenRefused(f"`{name}` is missing: the token identifies no viewer")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TokenRefused(f"`{name}` is neither a string nor a number")
    if isinstance(value, float):
        if not value.is_integer() or abs(value) >= EXACT:
            raise TokenRefused(f"`{name}` is a number that is not exact: send it as a string")
        value = int(value)
    text = str(value)
    if not text.strip():
        raise TokenRefused(f"`{name}` is empty")
    if text.startswith(PREFIX):
        raise TokenRefused(f"`{name}` looks like an anonymous viewer's id")
    return text
