"""What both clients have in common around a call: its address, its credentials, its deadline, its retries."""

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
    """How long a call may take in all, in s, and how often it is made again when it was put off."""

    deadline_s: float
    retries: int

    def __post_init__(self) -> None:
        if self.deadline_s <= 0 or self.retries < 0:
            raise ValueError("deadline_s must be above 0, and retries not below")


class Attempts:
    """One call's attempts against its deadline: after a 503 that says when to come back, and once at once
    after a connection that has ended without an answer.
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
        """Whether to send it once more at once: its connection ended before any answer, as a kept one may.

        Whatever the service is told twice is the same as once.
        """
        is_cut = isinstance(error, httpx2.RemoteProtocolError | httpx2.ReadError | httpx2.WriteError)
        if not is_cut or self._has_repeated or not self._left:
            return False
        self._has_repeated = True
        return True

    def pause_s(self, error: ProblemError) -> float:
        """How long to wait before the next attempt. Raises the error when there is no other, or no time."""
        said = error.retry_after_s
        if error.status != UNAVAILABLE or said is None or not self._left:
            raise error
        pause = said * random.uniform(1, 1.25)  # all who were put off do not come back at once
        if time.monotonic() + pause >= self._ends_at:
            raise error
        self._left -= 1
        return pause


def checked_url(base_url: str) -> str:
    """Where the service is, without a slash at its end. Raises ValueError for what is no http address.

    A password in it would be sent in place of the token, and be shown wherever the address is.
    """
    parts = urlsplit(base_url)
    if "@" in parts.netloc:
        raise ValueError("base_url must have no user or password: give api_key or token")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("base_url must be an http or https address, such as https://presence.example")
    return base_url.rstrip("/")


def request_of(call: Call[T], base_url: str, token: str, remaining_s: float) -> httpx2.Request:
    """The call on its way to be sent; no part of it takes longer than what remains.

    Raises ValueError for a token that no header can carry: an error from further down would show it.
    """
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError("a token or API key has no blanks, line ends or letters beyond ASCII")
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
    """What a request says of how long each part of it may take."""
    return {"timeout": httpx2.Timeout(remaining_s).as_dict()}


def result_of(call: Call[T], reply: httpx2.Response, content: bytes) -> T:
    """What the caller gets. Raises ProblemError, also for a success in words that are not the service's."""
    if not reply.is_success:
        raise failure(reply.status_code, reply.headers, content)
    try:
        return call.read(Answer(content, reply.headers))
    except ValidationError as error:
        raise failure(reply.status_code, {}, b"") from error
