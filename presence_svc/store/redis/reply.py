"""Error replies of Redis: values in a list of replies, distinguished by their first word.

Made by connection, judged by health and link.
"""

from __future__ import annotations

from hiredis import ProtocolError
from redis.exceptions import RedisError, ResponseError

from ...errors import Unavailable

# What an exchange raises when no reply came back, or none that can be parsed.
LOST = (TimeoutError, OSError, ProtocolError, RedisError)

# This server does not serve our commands, or not yet. The address may lead to one that does by now.
NOT_SERVING = frozenset({"READONLY", "LOADING", "MASTERDOWN"})
# The server answers reads and refuses writes.
REFUSES_WRITES = frozenset({"OOM", "MISCONF", "NOREPLICAS"})
# The server is up although PING fails: forbidden, refused because the disk is full (MISCONF), or busy.
NO_PONG = frozenset({"NOPERM", "MISCONF", "BUSY"})
# A new connection may succeed where this one fails: with a new password, or at another server.
RENEWS = frozenset({"NOAUTH", "NOREPLICAS"})
# Part of normal operation: the caller sends the command again, or to another node.
EVERYDAY = frozenset({"NOSCRIPT", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"})
IS_CLUSTER = "is a node of a Cluster, or behaves as one: write redis+cluster:// or rediss+cluster://"
TOO_MANY_CLIENTS = "max number of clients"


class ReplyError(ResponseError):
    """An error reply. `code` is its first word: NOSCRIPT, READONLY, MOVED, NOPERM, ERR, ..."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        code = text.partition(" ")[0]
        self.code = code if code.isupper() and code.isalpha() else "ERR"


def error_of(reply: ReplyError) -> Unavailable:
    """The exception that callers get for an error reply."""
    if reply.code in REFUSES_WRITES | NOT_SERVING:
        error = Unavailable("Redis accepts no writes now")
    elif reply.code in ("CROSSSLOT", "MOVED"):
        error = Unavailable("Redis is a Cluster, but its URL does not say so")
    else:
        error = Unavailable("Redis answered with an error")
    error.__cause__ = reply
    return error
