"""The result of a check of a Redis, and what checks need to know. Used by examine and its checks."""

from __future__ import annotations

from typing import NamedTuple

from ..keys import Keys


class Finding(NamedTuple):
    """The result of one check. `warns`: nothing is wrong, but somebody should know."""

    fine: bool
    what: str
    detail: str
    warns: bool = False


class CheckContext(NamedTuple):
    """The settings that checks need: our keys, our database, the connections per process."""

    keys: Keys
    db: int
    pool: int
