"""Encodes commands and script calls for the wire (RESP), partly from pieces encoded earlier. For store.calls.

hiredis encodes; only the count in front of a command is written here. A session's part of a heartbeat never
changes but for its seq, so that a group of a hundred heartbeats is a join of three hundred byte strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from hiredis import pack_command

from ..scripts import Script

# Makes a NamedTuple from all its fields in half the time of its constructor: every heartbeat needs one.
new_tuple = tuple.__new__


def pack(*values: str | bytes | int) -> bytes:
    """Encodes arguments, without the count that comes before them."""
    packed: bytes = pack_command(values)  # type: ignore[arg-type]
    return packed[packed.index(b"\n") + 1 :]


def packed_command(*words: str | bytes | int) -> bytes:
    """Encodes a whole command."""
    packed: bytes = pack_command(words)  # type: ignore[arg-type]
    return packed


def pack_int(value: int) -> bytes:
    """Encodes an integer."""
    return pack_digits(b"%d" % value)


def pack_digits(digits: bytes) -> bytes:
    """Encodes an integer that is given as its decimal digits."""
    return b"$%d\r\n%b\r\n" % (len(digits), digits)


def unpack(packed: bytes) -> bytes:
    """Decodes one encoded argument; it must contain no line break."""
    return packed.split(b"\r\n", 2)[1]


Command = tuple[Any, ...]
# A seq that is newer than all before it, even than a leave. A heartbeat with it must not be recorded twice:
# its session may have left in the meantime.
NEWEST = pack("+")
# All other script calls write leases and seqs, not differences; the other commands write nothing.
REPEATABLE = {
    *("EVALSHA", "GET", "GETEX", "HGETALL", "HMGET", "HSCAN", "INFO", "PFCOUNT", "PING", "PUBSUB", "SCARD"),
    *("SCRIPT", "TIME", "ZCARD", "ZCOUNT", "ZMSCORE", "ZRANGE", "ZSCAN", "ZSCORE"),
}


@cache
def _evalsha(sha: str) -> bytes:
    """Encodes the name of the command and of its script, once for each script."""
    return pack("EVALSHA", sha)


class ScriptCall(NamedTuple):
    """`packed` is the number of keys, the keys and the arguments, encoded; `many` is how many they are."""

    script: Script
    many: int
    packed: bytes

    def by_sha(self, *, sharded: bool = False) -> bytes:
        script = self.script.publishing(sharded=sharded)
        return b"*%d\r\n%b%b" % (self.many + 2, _evalsha(script.sha), self.packed)

    def by_text(self, *, sharded: bool = False) -> bytes:
        script = self.script.publishing(sharded=sharded)
        return b"*%d\r\n%b%b" % (self.many + 2, pack("EVAL", script.text), self.packed)


def by_sha(command: Command | ScriptCall, *, sharded: bool = False) -> bytes:
    """Encodes a command for the first attempt: a script by its SHA, or by its text if the command is EVAL."""
    if isinstance(command, ScriptCall):
        return command.by_sha(sharded=sharded)
    return _packed(command, sharded=sharded)


def by_text(command: Command | ScriptCall, *, sharded: bool = False) -> bytes:
    """Encodes a command for a server that does not know the script: EVAL also loads it."""
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
    """Whether all of them may run twice. Reads what is sent: only to be asked after a failure."""
    return all(
        NEWEST not in command.packed if isinstance(command, ScriptCall) else command[0] in REPEATABLE
        for command in commands
    )


def key_of(command: Command | ScriptCall) -> bytes | None:
    """The first key of a command, by which it is routed; None if it has none (PING, TIME)."""
    if isinstance(command, ScriptCall):
        count, name = command.packed.split(b"\r\n", 4)[1:4:2]
        return name if int(count) else None
    key: Any = None
    if command[0] in ("EVALSHA", "EVAL"):
        key = command[3] if command[2] else None
    elif len(command) > 1:
        key = command[1]
    return key.encode() if isinstance(key, str) else key
