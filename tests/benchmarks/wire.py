"""A blocking connection that sends ready-made batches and asks the server what they cost it."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable, Sequence
from typing import Any

import hiredis

from presence_svc.store.redis.resp import ScriptCall

Batch = tuple[bytes, int]


def pack(commands: Sequence[Any]) -> Batch:
    """Commands as they travel, and how many replies to wait for. Scripts go by their SHA."""
    return b"".join(map(_packed, commands)), len(commands)


def _packed(command: Any) -> bytes:
    packed: bytes = command.by_sha() if isinstance(command, ScriptCall) else hiredis.pack_command(command)
    return packed


class Wire:
    """One unix-socket connection to a server."""

    def __init__(self, url: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(url.removeprefix("unix://"))
        self._reader = hiredis.Reader()

    def send(self, batch: Batch) -> list[Any]:
        """One exchange. Raises the first error among the replies."""
        data, expected = batch
        self._socket.sendall(data)
        replies: list[Any] = []
        while len(replies) < expected:
            self._reader.feed(self._socket.recv(1 << 20))
            while (reply := self._reader.gets()) is not False:
                if isinstance(reply, Exception):
                    raise reply
                replies.append(reply)
        return replies

    def call(self, *command: Any) -> Any:
        return self.send(pack([command]))[0]

    def info(self, section: str) -> dict[str, str]:
        text = self.call("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)

    def cpu_s(self) -> float:
        """Processor time of the server's process so far."""
        info = self.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def memory(self) -> int:
        return int(self.info("memory")["used_memory"])

    def cost_us(self, batches: Iterable[Batch], operations: int) -> float:
        """Server's processor time per operation; batches are built before the clock starts."""
        ready = list(batches)
        before = self.cpu_s()
        for batch in ready:
            self.send(batch)
        return (self.cpu_s() - before) / operations * 1e6

    def close(self) -> None:
        self._socket.close()


def shuffled(items: Iterable[Any], seed: int = 1) -> list[Any]:
    """The same disorder in every run."""
    found = list(items)
    random.Random(seed).shuffle(found)
    return found
