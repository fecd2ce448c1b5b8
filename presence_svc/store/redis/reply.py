"""Errors as Redis answers them: values in a list of replies, told apart by their first word.

Made by wire, judged by node and link.
"""

from __future__ import annotations

from hiredis import ProtocolError
from redis.exceptions import RedisError, ResponseError

from ...errors import Unavailable

# What an exchange raises when nothing, or nothing that can be read, came back.
LOST = (TimeoutError, OSError, ProtocolError, RedisError)

# The server behind this connection is not, or not yet, one that takes our commands: another may be by now.
NOT_SERVING = frozenset({"READONLY", "LOADING", "MASTERDOWN"})
# It serves reads and refuses writes for a reason of its own.
REFUSES_WRITES = frozenset({"OOM", "MISCONF", "NOREPLICAS"})
# PING is refused, or is as any write is when the disk is full (MISCONF), and the server is there.
NO_PONG = frozenset({"NOPERM", "MISCONF", "BUSY"})
# A new connection may be let in, or led to another server, where this one is not.
RENEWS = frozenset({"NOAUTH", "NOREPLICAS"})
# Nobody's trouble: the caller runs it again, or elsewhere.
EVERYDAY = frozenset({"NOSCRIPT", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"})
IS_CLUSTER = "is a node of a Cluster, or behaves as one: write redis+cluster:// or rediss+cluster://"
TOO_MANY_CLIENTS = "max number of clients"


class ReplyError(ResponseError):
    """One error reply. `code` is its first word: NOSCRIPT, READONLY, MOVED, NOPERM, ERR, ..."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        code = text.partition(" ")[0]
        self.code = code if code.isupper() and code.isalpha() else "ERR"


def error_of(reply: ReplyError) -> Unavailable:
    """What callers learn of an error reply."""
    if reply.code in REFUSES_WRITES | NOT_SERVING:
        error = Unavailable("Redis takes no writes now")
    elif reply.code in ("CROSSSLOT", "MOVED"):
        error = Unavailable("Redis is a Cluster, and not named as one")
    else:
        error = Unavailable("Redis answered with an error")
    error.__cause__ = reply
    return error
