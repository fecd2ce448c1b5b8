"""A node to the Redis that a redis-py client speaks to: a real one, or one that speaks to fakeredis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from presence_svc.errors import Away
from presence_svc.store.redis.node import POOL, Node
from presence_svc.store.redis.reply import ReplyError
from presence_svc.store.redis.url import Access, Address

CODES = {"NoScriptError": "NOSCRIPT", "ReadOnlyError": "READONLY", "OutOfMemoryError": "OOM"}


class FakeNode(Node):
    """There are no sockets to fakeredis: its own connections send and read."""

    def __init__(self, client: Redis, *, timeout_s: float) -> None:
        super().__init__(Address(), Access(), timeout_s=timeout_s)
        self._client = client

    async def exchange(
        self,
        commands: Sequence[bytes],
        deadline: float,
        *,
        low_priority: bool = False,
        may_repeat: Callable[[], bool] = lambda: False,
    ) -> list[Any]:
        if self.away:
            raise Away("Redis is away")
        pool = self.client.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        replies: list[Any] = []
        try:
            async with asyncio.timeout_at(deadline):
                await connection.send_packed_command(b"".join(commands), check_health=False)
                for _ in commands:
                    try:
                        replies.append(await connection.read_response())
                    except ResponseError as error:
                        code = CODES.get(type(error).__name__)
                        replies.append(ReplyError(f"{code} {error}" if code else str(error)))
        finally:
            await pool.release(connection)
        return replies


def node_of(client: Redis, *, timeout_s: float, pool: int = POOL) -> Node:
    """A node of the kind that this client's server needs; it is closed with the client."""
    if isinstance(client, FakeAsyncRedis):
        return FakeNode(client, timeout_s=timeout_s)
    said = client.connection_pool.connection_kwargs
    address = Address(said.get("host") or "", said.get("port") or 0, said.get("path") or "")
    node = Node(address, Access(db=said.get("db") or 0), timeout_s=timeout_s, pool=pool)
    close: Any = client.aclose

    async def aclose(*args: Any) -> None:
        await node.close()
        await close(*args)

    client.aclose = aclose  # type: ignore[method-assign, assignment]
    return node
