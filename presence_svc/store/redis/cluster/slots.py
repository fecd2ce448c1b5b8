"""The Cluster slot of a key, and partitions: the tags that spread them evenly and the keys of each. Pure.

Used by store.keys and by store.redis.cluster.
"""

from __future__ import annotations

from binascii import crc_hqx
from functools import cache
from itertools import count, product
from typing import NamedTuple

from ..resp import pack

SLOTS = 16_384
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def slot_of_tag(tag: bytes) -> int:
    """CRC16 (XMODEM) modulo the number of slots, as the Cluster specification says."""
    return crc_hqx(tag, 0) % SLOTS


def slot_of(key: str | bytes) -> int:
    """The slot of a whole key, by its hash tag: the text between the first { and the next }, if not empty."""
    name = key.encode() if isinstance(key, str) else key
    start = name.find(b"{") + 1
    end = name.find(b"}", start) if start else -1
    return slot_of_tag(name[start:end] if end > start else name)


@cache
def tags(partitions: int) -> tuple[str, ...]:
    """Tag k is the first of a, b, ... 9, aa, ab, ... whose slot is in the middle of range k.

    A course belongs to the range that contains the slot of its own id. Takes 0.2 s with 4,096 partitions.
    """
    width = SLOTS // partitions
    wanted = {k * width + width // 2: k for k in range(partitions)}
    found: dict[int, str] = {}
    for length in count(1):
        for letters in product(LETTERS, repeat=length):
            tag = "".join(letters)
            k = wanted.get(slot_of_tag(tag.encode()))
            if k is not None and k not in found:
                found[k] = tag
                if len(found) == partitions:
                    return tuple(found[k] for k in range(partitions))
    raise AssertionError("unreachable")  # tags may be of any length


class Partition(NamedTuple):
    """The keys that the courses of a partition share; the names of all of them begin with `base`.

    `nothing` holds, on a Cluster, a key that never exists (see store.keys); on one server it is empty.
    """

    number: int
    base: str
    agenda: str
    since: str
    where: str
    heard: str
    gaps: str
    seen: str
    slot: int
    packed_agenda: bytes  # the agenda's name and that of `where`, encoded
    nothing: tuple[str, ...]

    @property
    def tag(self) -> str:
        return self.base.partition("{")[2].partition("}")[0]


def partition_keys(number: int, base: str, agenda: str) -> Partition:
    """Builds the keys of one partition from the beginning of their names and its agenda."""
    is_one = agenda != f"{base}agenda"
    ending = ":0" if is_one else ""  # the names that single servers have always used
    where = f"{base}where"
    return Partition(
        number,
        base,
        agenda,
        since=f"{base}since",
        where=where,
        heard=f"{base}heard{ending}",
        gaps=f"{base}gaps{ending}",
        seen=f"{base}seen{ending}",
        slot=slot_of(agenda),
        packed_agenda=pack(agenda, where),
        nothing=() if is_one else (f"{base}nothing",),
    )
