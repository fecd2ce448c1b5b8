"""Which master owns which slot, and the commands that are being routed there. Pure.

Read from CLUSTER SLOTS, which every server and managed service supports. A node that does not know its own
address leaves it out; then it is the address that we asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..resp import Command, ScriptCall, by_sha, by_text, key_of, may_repeat
from ..url import Address
from .slots import SLOTS, slot_of


class Table:
    """`owner[slot]` is the address of the slot's master; None while it has none."""

    def __init__(self) -> None:
        self.owner: list[Address | None] = [None] * SLOTS
        self.replicas: frozenset[Address] = frozenset()

    @property
    def masters(self) -> list[Address]:
        """The addresses that own slots, in the order of their first slot."""
        return list(dict.fromkeys(address for address in self.owner if address is not None))

    @property
    def unowned(self) -> int:
        """How many slots have no owner."""
        return self.owner.count(None)

    def moved(self, slot: int, address: Address) -> bool:
        """Applies a MOVED reply; returns whether it changed the table."""
        if self.owner[slot] == address:
            return False
        self.owner[slot] = address
        return True


class Batch:
    """Commands that are being routed, with the slot and, as they arrive, the reply of each."""

    def __init__(
        self, commands: Sequence[Command | ScriptCall], deadline: float, *, low_priority: bool, sharded: bool
    ) -> None:
        self.commands = commands
        self.deadline = deadline
        self.low_priority = low_priority
        self.sharded = sharded
        self.slots = [slot_of(key) if (key := key_of(command)) else None for command in commands]
        self.replies: list[Any] = [None] * len(commands)
        self.by_text: set[int] = set()

    @property
    def is_of_one_slot(self) -> bool:
        """Whether all commands are of one slot, so that waiting for it delays no other slot."""
        return len(set(self.slots)) == 1

    def may_repeat(self, indices: Sequence[int]) -> bool:
        """Whether all of these commands may run twice."""
        return may_repeat([self.commands[index] for index in indices])

    def packed(self, index: int) -> bytes:
        pack = by_text if index in self.by_text else by_sha
        return pack(self.commands[index], sharded=self.sharded)


def read_slots(reply: list[Any], asked: Address, reached: Callable[[Address], Address]) -> Table:
    """Parses a reply to CLUSTER SLOTS. Raises ValueError if it is malformed.

    `reached` maps an address that a node announces to the one that we can reach.
    """
    table = Table()
    replicas = set()
    try:
        for first, last, *nodes in reply:
            master, *others = (reached(_address(node, asked)) for node in nodes)
            table.owner[first : last + 1] = [master] * (last + 1 - first)
            replicas.update(others)
        if len(table.owner) != SLOTS:
            raise ValueError("slots beyond the last")
    except (TypeError, IndexError, AttributeError) as error:
        raise ValueError("the reply to CLUSTER SLOTS is malformed") from error
    table.replicas = frozenset(replicas) - frozenset(table.masters)
    return table


def read_redirection(text: str, asked: Address, reached: Callable[[Address], Address]) -> tuple[int, Address]:
    """Parses "MOVED 3999 127.0.0.1:6381", or the same with ASK. Raises ValueError."""
    _, slot, target = text.split(" ")
    host, _, port = target.rpartition(":")
    if not 0 <= int(slot) < SLOTS:
        raise ValueError(f"no slot: {slot}")
    return int(slot), reached(Address(host.strip("[]") or asked.host, int(port)))


def _address(node: list[Any], asked: Address) -> Address:
    host = (node[0] or b"").decode()
    return Address(host if host not in ("", "?") else asked.host, int(node[1]))
