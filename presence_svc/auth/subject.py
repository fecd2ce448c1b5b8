"""Whose presence a body speaks of, and under which name: the body's, or the token's.

Called by admission and claims. What a token says of its viewer is their id, or a digest if no id can hold it:
`h.` and the SHA-256 as base64url. What looks like a digest is digested too: nobody gets another's.
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

EXACT = 2**53  # of numbers that JSON libraries read as fractions, the first that is not
_DIGEST = re.compile(r"h\.[A-Za-z0-9_-]{43}")
_ID = re.compile(ID_PATTERN.removeprefix("^").removesuffix("$"))
_id: TypeAdapter[str] = TypeAdapter(Id)


def named(said: Heartbeat | Leave, *base: str | int) -> str:
    """The viewer that a body names. Raises Invalid when it names nobody, or by no id."""
    viewer_id = said.viewer_id
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
    """The token's viewer, whom a body may call as the token does. Raises Forbidden when it claims another."""
    if claimed is not None and claimed not in (caller.subject, caller.said):
        raise Forbidden("the token is another viewer's")
    return caller.subject


def under_own_name(caller: Caller, said: Heartbeat, names_from_body: bool) -> Heartbeat:
    """The statement under the token's name and picture: nobody makes up their own unless told so."""
    name, avatar_url = caller.name, caller.avatar_url
    if names_from_body:
        name, avatar_url = name or said.name, avatar_url or said.avatar_url
    if name == said.name and avatar_url == said.avatar_url:
        return said
    return said.model_copy(update={"name": name, "avatar_url": avatar_url})


def viewer_id_of(said: str) -> str:
    """The id of the viewer whom a token's claim calls `said`."""
    if _ID.fullmatch(said) and not _DIGEST.fullmatch(said):
        return said
    digest = sha256(said.encode("utf-8", "surrogatepass")).digest()
    return "h." + urlsafe_b64encode(digest).decode().rstrip("=")


def claimed(value: Any, name: str) -> str:
    """What the claim of this name says, as a text: numbers as they are written. Raises TokenRefused."""
    if value is None:
        raise TokenRefused(f"`{name}` is missing: nobody is named")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TokenRefused(f"`{name}` is neither a text nor a number")
    if isinstance(value, float):
        if not value.is_integer() or abs(value) >= EXACT:
            raise TokenRefused(f"`{name}` is a number that is not exact: send it as a text")
        value = int(value)
    text = str(value)
    if not text.strip():
        raise TokenRefused(f"`{name}` is empty")
    if text.startswith(PREFIX):
        raise TokenRefused(f"`{name}` looks like an anonymous viewer's id")
    return text
