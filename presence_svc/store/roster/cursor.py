"""Where a client's walk through a roster stands, as a text that travels. Made and read by reader.

Sealed: it tells where the walk goes on, and so the ids of viewers whom the roster may not show (S7).
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
    """Where a client's walk stands.

    The round began at `began` and shows who was heard after `since`; the first one (since 0) everybody but
    those of page one, whose digests are in `first`. `news`: it has shown somebody. It goes on below
    (`after`, `after_id`).
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
        """Raises Invalid for what no page of this course has given out, BadRequest for another version's."""
        try:
            said = orjson.loads(seal.open(text, course_id))
        except ValueError:
            raise Invalid([("/cursor", "is not a cursor of this course, or too old")]) from None
        kinds = [int, int, str, bool, int, str]
        if not isinstance(said, list) or [type(value) for value in said] != kinds:
            raise BadRequest("the cursor is of another version of this service: begin again without one")
        return cls(*said)


def digest(viewer_id: str) -> str:
    """Stands for a viewer in a cursor, which must stay short: "." and 64 bits of a hash."""
    found = blake2b(viewer_id.encode(), digest_size=8).digest()
    return "." + base64.urlsafe_b64encode(found).decode().rstrip("=")
