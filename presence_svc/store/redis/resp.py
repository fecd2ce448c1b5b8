"""Script calls as they travel, put together from parts that were packed before. Used by store.calls.

hiredis packs; only the count of words in front of a command is ours. A session's part of a heartbeat is the
same every time but for its seq, so that a batch of a hundred is a join of three hundred ready byte strings.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from hiredis import pack_command

from ..scripts import Script

Word = str | bytes | int
# Makes a NamedTuple, of all its fields, in half the time of its own constructor: for what every beat needs.
made = tuple.__new__


def words(*values: Word) -> bytes:
    """These words as they travel, without the count in front."""
    whole = packed(*values)
    return whole[whole.index(b"\n") + 1 :]


def packed(*values: Word) -> bytes:
    """A whole command as it travels."""
    whole: bytes = pack_command(values)  # type: ignore[arg-type]
    return whole


def number(value: int) -> bytes:
    """One whole number as it travels."""
    digits = b"%d" % value
    return b"$%d\r\n%b\r\n" % (len(digits), digits)


def text_of(packed: bytes) -> bytes:
    """One short word as it was before it was packed."""
    return packed.split(b"\r\n", 2)[1]


class Packed(NamedTuple):
    """A script's call: how many words follow its name; then those: the number of keys, keys, arguments."""

    script: Script
    many: int
    rest: bytes

    def by_sha(self) -> bytes:
        return b"*%d\r\n%b%b" % (self.many + 2, words("EVALSHA", self.script.sha), self.rest)

    def by_text(self) -> bytes:
        return b"*%d\r\n%b%b" % (self.many + 2, words("EVAL", self.script.text), self.rest)


def key_of(command: tuple[Any, ...] | Packed) -> bytes | None:
    """The first key of a command, by which it is routed; None when it has none (PING, TIME)."""
    if isinstance(command, Packed):
        count, packed_key = command.rest.split(b"\r\n", 4)[1:4:2]
        return packed_key if int(count) else None
    key: Any = command[1] if len(command) > 1 else None
    if command[0] in ("EVALSHA", "EVAL"):
        key = command[3] if command[2] else None
    return key.encode() if isinstance(key, str) else cast("bytes | None", key)
