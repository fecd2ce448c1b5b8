"""A client's position in a roster, as an encrypted cursor. Made and read by reader.

It is encrypted because it contains a position in the order of viewers, and so ids that a roster must not
show (S7).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from hashlib import blake2b

import orjson

from ...errors import BadRequest, Invalid
from .seal import Seal


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a walk through the roster, which takes several rounds. Times are in ms.

    The current round began at `began` and shows viewers heard from after `since`. The first round (since 0)
    shows everybody but those of page one, whose digests are in `first`. `news`: the round has shown somebody.
    It continues below (`after`, `after_id`).
    """

    began: int
    since: int
    first: str
    news: bool = False
    after: int = 0
    after_id: str = ""

    def encode(self, seal: Seal, course_id: str) -> str:
        return seal.close(orjson.dumps([getattr(self, name) for name in self.__slots__]), course_id)

    @classmethod
    def decode(cls, text: str, seal: Seal, course_id: str) -> Cursor:
        """Decrypts a cursor. Raises Invalid if it is not of this course, BadRequest for another version's."""
        try:
            values = orjson.loads(seal.open(text, course_id))
        except ValueError:
            raise Invalid([("/cursor", "is not a cursor of this course, or too old")]) from None
        kinds = [int, int, str, bool, int, str]
        if not isinstance(values, list) or [type(value) for value in values] != kinds:
            raise BadRequest("the cursor is from another version of this service: start again without one")
        return cls(*values)


def digest(viewer_id: str) -> str:
    """A short stand-in for a viewer id in a cursor: "." and 64 bits of a hash."""
    found = blake2b(viewer_id.encode(), digest_size=8).digest()
    return "." + base64.urlsafe_b64encode(found).decode().rstrip("=")
