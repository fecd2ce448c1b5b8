"""Where a client's walk through a roster stands, as a text that travels. Made and read by store.roster."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from hashlib import blake2b

import orjson

from ..errors import Invalid


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

    def encode(self) -> str:
        fields = [getattr(self, name) for name in self.__slots__]
        return base64.urlsafe_b64encode(orjson.dumps(fields)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Raises Invalid for what no page has given out."""
        try:
            fields = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            kinds = (int, int, str, bool, int, str)
            numbers = [field for field in fields if type(field) is int]
            if tuple(map(type, fields)) == kinds and all(0 <= n < 2**52 for n in numbers):
                return cls(*fields)
        except (ValueError, TypeError, binascii.Error):
            pass
        raise Invalid([("/cursor", "is not a cursor of this service")])


def digest(viewer_id: str) -> str:
    """Stands for a viewer in a cursor, which must stay short: "." and 64 bits of a hash."""
    found = blake2b(viewer_id.encode(), digest_size=8).digest()
    return "." + base64.urlsafe_b64encode(found).decode().rstrip("=")
