"""What a look at a Redis finds, and what it needs to know of us. Made by examine and consistency."""

from __future__ import annotations

from typing import NamedTuple

from ..keys import Keys


class Finding(NamedTuple):
    """One thing that was looked at. `warns`: nothing is wrong, but somebody should know."""

    fine: bool
    what: str
    detail: str
    warns: bool = False


class Asked(NamedTuple):
    """The settings that a look needs: our keys, our database, the connections of one process."""

    keys: Keys
    db: int
    pool: int
