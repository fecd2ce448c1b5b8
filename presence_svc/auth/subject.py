"""Whose presence a body speaks of, and under which name: the body's, or the token's. For the gate."""

from __future__ import annotations

from ..errors import Forbidden, Invalid
from ..model import Heartbeat, Leave
from .caller import Caller


def named(said: Heartbeat | Leave, *base: str | int) -> str:
    """The viewer that a body names. Raises Invalid when it names nobody."""
    if said.viewer_id is None:
        raise Invalid([("/" + "/".join(map(str, (*base, "viewer_id"))), "is required")])
    return said.viewer_id


def own(caller: Caller, claimed: str | None) -> str:
    """The token's viewer. Raises Forbidden when the body claims another."""
    if claimed is not None and claimed != caller.subject:
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
