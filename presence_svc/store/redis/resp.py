"""Script calls as they travel, put together from parts that were packed before. Used by store.calls.

hiredis packs; only the count of arguments in front of a command is ours. A session's part of a heartbeat is
the same every time but for its seq, so that a group of a hundred is a join of three hundred byte strings.
"""

from __future__ import annotations

from typing import NamedTuple

from hiredis import pack_command

from ..scripts import Script

# Makes a NamedTuple, of all its fields, in half the time of its constructor: for what every heartbeat needs.
new_tuple = tuple.__new__


def pack(*values: str | bytes | int) -> bytes:
    """These arguments as they travel, without the count in front."""
    packed: bytes = pack_command(values)  # type: ignore[arg-type]
    return packed[packed.index(b"\n") + 1 :]


def pack_int(value: int) -> bytes:
    """One whole number as it travels."""
    return pack_digits(b"%d" % value)


def pack_digits(digits: bytes) -> bytes:
    """One whole number, written out, as it travels."""
    return b"$%d\r\n%b\r\n" % (len(digits), digits)


def unpack(packed: bytes) -> bytes:
    """One short argument as it was before it was packed."""
    return packed.split(b"\r\n", 2)[1]


class ScriptCall(NamedTuple):
    """How many arguments follow the script's name; then those: the number of keys, keys, arguments."""

    script: Script
    many: int
    packed: bytes

    def by_sha(self) -> bytes:
        return b"*%d\r\n%b%b" % (self.many + 2, pack("EVALSHA", self.script.sha), self.packed)

    def by_text(self) -> bytes:
        return b"*%d\r\n%b%b" % (self.many + 2, pack("EVAL", self.script.text), self.packed)
