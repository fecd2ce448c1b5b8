"""Whose presence a body speaks of: the viewer that it names, or the token's. For the gate."""

from __future__ import annotations

from ...errors import Forbidden, Invalid
from ...model import Heartbeat, Leave
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
