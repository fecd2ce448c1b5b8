"""Script calls as they travel, put together from parts that were packed before. Used by store.calls.

hiredis packs; only the count of arguments in front of a command is ours. A session's part of a heartbeat is
the same every time but for its seq, so that a group of a hundred is a join of three hundred byte strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hiredis import pack_command

from ..scripts import Script

# Makes a NamedTuple, of all its fields, in half the time of its constructor: for what every heartbeat needs.
new_tuple = tuple.__new__


def pack(*values: str | bytes | int) -> bytes:
    """These arguments as they travel, without the count in front."""
    packed: bytes = pack_command(values)  # type: ignore[arg-type]
    return packed[packed.index(b"\n") + 1 :]


def packed_command(*words: str | bytes | int) -> bytes:
    """A whole command as it travels."""
    packed: bytes = pack_command(words)  # type: ignore[arg-type]
    return packed


def pack_int(value: int) -> bytes:
    """One whole number as it travels."""
    return pack_digits(b"%d" % value)


def pack_digits(digits: bytes) -> bytes:
    """One whole number, written out, as it travels."""
    return b"$%d\r\n%b\r\n" % (len(digits), digits)


def unpack(packed: bytes) -> bytes:
    """One short argument as it was before it was packed."""
    return packed.split(b"\r\n", 2)[1]


Command = tuple[Any, ...]
# Scripts write leases and seqs, not differences; the others write nothing.
REPEATABLE = frozenset(
    "EVALSHA GET GETEX HGETALL HMGET HSCAN INFO PFCOUNT PING PUBSUB SCARD SCRIPT TIME ZCARD ZCOUNT ZMSCORE ZRANGE"
    " ZSCAN ZSCORE".split()
)


class ScriptCall(NamedTuple):
    """How many arguments follow the script's name; then those: the number of keys, keys, arguments."""

    script: Script
    many: int
    packed: bytes

    def by_sha(self, *, sharded: bool = False) -> bytes:
        script = self.script.publishing(sharded=sharded)
        return b"*%d\r\n%b%b" % (self.many + 2, pack("EVALSHA", script.sha), self.packed)

    def by_text(self, *, sharded: bool = False) -> bytes:
        script = self.script.publishing(sharded=sharded)
        return b"*%d\r\n%b%b" % (self.many + 2, pack("EVAL", script.text), self.packed)


def by_sha(command: Command | ScriptCall, *, sharded: bool = False) -> bytes:
    """The command as it is sent first: a script by its SHA, or by its text when the command says EVAL."""
    if isinstance(command, ScriptCall):
        return command.by_sha(sharded=sharded)
    return _packed(command, sharded=sharded)


def by_text(command: Command | ScriptCall, *, sharded: bool = False) -> bytes:
    """The command as it is sent when Redis does not know the script: EVAL also loads it."""
    if isinstance(command, ScriptCall):
        return command.by_text(sharded=sharded)
    if command[0] == "EVALSHA":
        command = ("EVAL", *command[1:])
    return _packed(command, sharded=sharded)


def _packed(command: Command, *, sharded: bool) -> bytes:
    if len(command) > 1 and isinstance(command[1], Script):
        script = command[1].publishing(sharded=sharded)
        command = (command[0], script.sha if command[0] == "EVALSHA" else script.text, *command[2:])
    return packed_command(*command)


def may_repeat(commands: Sequence[Command | ScriptCall]) -> bool:
    """Whether all of them may run twice."""
    return all(isinstance(command, ScriptCall) or command[0] in REPEATABLE for command in commands)


def key_of(command: Command | ScriptCall) -> bytes | None:
    """The first key of a command, by which it is routed; None when it has none (PING, TIME)."""
    if isinstance(command, ScriptCall):
        count, name = command.packed.split(b"\r\n", 4)[1:4:2]
        return name if int(count) else None
    key: Any = None
    if command[0] in ("EVALSHA", "EVAL"):
        key = command[3] if command[2] else None
    elif len(command) > 1:
        key = command[1]
    return key.encode() if isinstance(key, str) else key
