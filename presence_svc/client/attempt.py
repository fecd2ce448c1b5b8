"""What both clients share: how a call is addressed and authenticated, its deadline and its retries."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
from pydantic import ValidationError

from .. import __version__
from .call import Answer, Call
from .failure import ProblemError, Unreachable, failure

T = TypeVar("T")

AGENT = f"presence-svc-client/{__version__}"
UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Policy:
    """How long a call may take in all, in seconds, and how often it is retried after a 503."""

    deadline_s: float
    retries: int

    def __post_init__(self) -> None:
        if self.deadline_s <= 0 or self.retries < 0:
            raise ValueError("deadline_s must be positive, and retries must not be negative")


class Attempts:
    """The attempts of one call: again after a 503 with Retry-After, and once at once if a connection ends
    without an answer, until the deadline.
    """

    def __init__(self, policy: Policy) -> None:
        self._ends_at = time.monotonic() + policy.deadline_s
        self._left = policy.retries
        self._has_repeated = False

    @property
    def remaining_s(self) -> float:
        """Raises Unreachable when the deadline has passed."""
        remaining = self._ends_at - time.monotonic()
        if remaining <= 0:
            raise Unreachable("the deadline has passed")
        return remaining

    def check(self) -> None:
        """Raises Unreachable when the deadline has passed."""
        _ = self.remaining_s

    def may_repeat(self, error: httpx2.HTTPError) -> bool:
        """Whether to send it once more at once: an idle connection may have been closed by the server.

        That is safe, because every call of the service is idempotent.
        """
        is_cut = isinstance(error, httpx2.RemoteProtocolError | httpx2.ReadError | httpx2.WriteError)
        if not is_cut or self._has_repeated or not self._left:
            return False
        self._has_repeated = True
        return True

    def pause_s(self, error: ProblemError) -> float:
        """Seconds to wait before the next attempt. Raises the error if no attempt or time is left."""
        retry_after_s = error.retry_after_s
        if error.status != UNAVAILABLE or retry_after_s is None or not self._left:
            raise error
        pause = retry_after_s * random.uniform(1, 1.25)  # so that not all clients return at once
        if time.monotonic() + pause >= self._ends_at:
            raise error
        self._left -= 1
        return pause


def checked_url(base_url: str) -> str:
    """The URL without a trailing slash. Raises ValueError if it is not an http URL.

    A password in it is refused: it would be sent instead of the token, and appear wherever the URL does.
    """
    parts = urlsplit(base_url)
    if "@" in parts.netloc:
        raise ValueError("base_url must not contain a user or password: give api_key or token")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("base_url must be an http or https URL, such as https://presence.example")
    return base_url.rstrip("/")


def request_of(call: Call[T], base_url: str, token: str, remaining_s: float) -> httpx2.Request:
    """The HTTP request of a call; no part of it may take longer than `remaining_s`.

    Raises ValueError for a token that does not fit into a header: a later error would show the token.
    """
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError("a token or API key must not contain blanks, line breaks or non-ASCII characters")
    headers = {"user-agent": AGENT, "accept": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    return httpx2.Request(
        call.method,
        base_url + call.path,
        params=list(call.params) or None,
        json=call.body,
        headers=headers,
        extensions=timeouts(remaining_s),
    )


def timeouts(remaining_s: float) -> dict[str, Any]:
    """The extension of a request that limits how long each part of it may take."""
    return {"timeout": httpx2.Timeout(remaining_s).as_dict()}


def result_of(call: Call[T], reply: httpx2.Response, content: bytes) -> T:
    """The call's result. Raises ProblemError, also for a success whose body is not the service's."""
    if not reply.is_success:
        raise failure(reply.status_code, reply.headers, content)
    try:
        return call.read(Answer(content, reply.headers))
    except ValidationError as error:
        raise failure(reply.status_code, {}, b"") from error
