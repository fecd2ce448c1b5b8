"""Retries, deadlines, credentials: the same for either client."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import pytest

from presence_svc.client import AsyncPresenceClient, PresenceClient, ProblemError, Unreachable
from tests.client.conftest import Caller

COUNT = {
    **{"course_id": "c1", "total": 3, "named": 2, "anonymous": 1, "chapters": {}},
    **{"version": 1, "as_of": 1, "warming": False},
}
AWAY = {"type": "urn:presence:away", "title": "Service unavailable", "status": 503, "detail": "Redis is away"}


class Script:
    """A service that answers as it is told, one answer after another; the last one stays."""

    def __init__(self, *answers: httpx2.Response) -> None:
        self._answers = list(answers)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)


def away(**headers: str) -> httpx2.Response:
    return httpx2.Response(503, json=AWAY, headers={k.replace("_", "-"): v for k, v in headers.items()})


async def test_what_was_put_off_is_tried_again(caller: Caller) -> None:
    """503 with Retry-After: the call is made again then, and not before."""
    script = Script(away(retry_after="1"), httpx2.Response(200, json=COUNT))
    caller.mocked(script, deadline_s=20)
    began = time.monotonic()

    count = await caller.do("count", "c1")

    assert (count.total, len(script.requests)) == (3, 2)
    assert time.monotonic() - began >= 1


async def test_it_is_not_tried_for_ever(caller: Caller) -> None:
    """After `retries` more attempts the problem is the caller's."""
    script = Script(away(retry_after="0"))
    caller.mocked(script, retries=2, deadline_s=20)

    with pytest.raises(ProblemError) as refused:
        await caller.do("count", "c1")

    assert (refused.value.status, refused.value.detail) == (503, "Redis is away")
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    "answer",
    [
        away(),
        away(retry_after="Thu, 26 Nov 2026 04:00:00 GMT"),
        away(retry_after="3600"),
        httpx2.Response(429, json=AWAY | {"status": 429}, headers={"retry-after": "0"}),
        httpx2.Response(500, headers={"retry-after": "0"}),
        httpx2.Response(401, json=AWAY | {"status": 401}, headers={"retry-after": "0"}),
    ],
    ids=["unsaid", "a date", "later than the deadline", "429", "500", "401"],
)
async def test_nothing_else_is_tried_again(caller: Caller, answer: httpx2.Response) -> None:
    """The caller knows best what a refused, limited or broken call means to them."""
    script = Script(answer)
    caller.mocked(script, deadline_s=5)

    with pytest.raises(ProblemError) as refused:
        await caller.do("count", "c1")

    assert refused.value.status == answer.status_code
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [200, 302, 404, 502])
async def test_somebody_else_answers(caller: Caller, status: int) -> None:
    """A proxy's page, or a redirect, which is not followed: the problem asks whether the address is right."""
    script = Script(httpx2.Response(status, text="<h1>hello</h1>", headers={"location": "/elsewhere"}))
    caller.mocked(script)

    with pytest.raises(ProblemError, match="is the URL right") as refused:
        await caller.do("count", "c1")

    assert refused.value.status == status
    assert len(script.requests) == 1


async def test_keys_travel_as_bearer_tokens(caller: Caller) -> None:
    """And a path before the routes is kept."""
    script = Script(httpx2.Response(200, json=COUNT))
    caller.at("https://school.test/presence/", api_key="k", transport=httpx2.MockTransport(script))

    await caller.do("count", "c1")

    (request,) = script.requests
    assert str(request.url) == "https://school.test/presence/v1/courses/c1/count"
    assert request.headers["authorization"] == "Bearer k"
    assert request.headers["user-agent"].startswith("presence-svc-client/")


@pytest.mark.parametrize("token", ["line\r\nX-Other: 1", "two words", "schlüssel"])
async def test_a_token_that_no_header_carries_is_not_shown(caller: Caller, token: str) -> None:
    """ValueError, in words that do not hold it."""
    caller.mocked(Script(httpx2.Response(200, json=COUNT)), token=lambda: token)

    with pytest.raises(ValueError, match="must not contain blanks") as refused:
        await caller.do("count", "c1")

    assert token not in str(refused.value)


@pytest.mark.parametrize("kind", [PresenceClient, AsyncPresenceClient])
def test_contradictions_are_refused(kind: type[PresenceClient]) -> None:
    """An address without its scheme, a key beside a token, a deadline that has passed."""
    for url, options in (
        ("presence.example", {}),
        ("redis://127.0.0.1", {}),
        ("http://presence.example/?q=1", {}),
        ("http://user:pass@presence.example", {}),
        ("https://user@presence.example/below", {"api_key": "a"}),
        ("http://presence.example", {"api_key": "a", "token": "b"}),
        ("http://presence.example", {"deadline_s": 0}),
        ("http://presence.example", {"retries": -1}),
    ):
        with pytest.raises(ValueError, match=r"."):
            kind(url, **options)


class Dripping:
    """A service that answers one byte at a time, without an end."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while not self._is_over.is_set():
                peer, _ = self._listener.accept()
                with peer, suppress(OSError):
                    peer.recv(65_536)
                    peer.sendall(self._head)
                    while not self._is_over.wait(0.05):
                        peer.sendall(b" ")

    def close(self) -> None:
        self._is_over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


class Cutting:
    """A service that answers `good` requests of a connection, and ends it at the next without a word."""

    def __init__(self, good: int) -> None:
        self._good = good
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        body = json.dumps(COUNT).encode()
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                with peer, suppress(OSError):
                    for _ in range(self._good):
                        if not peer.recv(65_536):
                            break
                        peer.sendall(answer)
                    self.cuts += bool(peer.recv(65_536))

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.mark.parametrize("good", [1, 0])
async def test_a_connection_that_ends_is_replaced_once(caller: Caller, good: int) -> None:
    """A kept one may be closed just when it is used again; who never answers is unreachable."""
    service = Cutting(good)
    caller.at(service.url, deadline_s=20)
    try:
        if good:
            totals = [(await caller.do("count", "c1")).total for _ in range(4)]
            assert (totals, service.cuts) == ([3] * 4, 3)
        else:
            with pytest.raises(Unreachable):
                await caller.do("count", "c1")
            assert service.cuts == 2
    finally:
        await caller.aclose()
        service.close()


async def test_without_retries_nothing_is_repeated(caller: Caller) -> None:
    """`retries=0`: the caller decides."""
    service = Cutting(0)
    caller.at(service.url, deadline_s=20, retries=0)
    try:
        with pytest.raises(Unreachable):
            await caller.do("count", "c1")
        assert service.cuts == 1
    finally:
        await caller.aclose()
        service.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n"


@pytest.fixture
def body() -> Iterator[Dripping]:
    made = Dripping(HEAD)
    yield made
    made.close()


@pytest.fixture(params=[b"", HEAD], ids=["head", "body"])
def dripping(request: pytest.FixtureRequest) -> Iterator[Dripping]:
    made = Dripping(request.param)
    yield made
    made.close()


async def test_the_deadline_is_of_the_whole_call(caller: Caller, dripping: Dripping, body: Dripping) -> None:
    """A body that comes in drops does not hold the caller; nor a head, where a loop can end the wait."""
    caller.at(dripping.url if caller.kind == "async" else body.url, deadline_s=0.5)
    began = time.monotonic()

    with pytest.raises(Unreachable):
        await caller.do("count", "c1")

    assert time.monotonic() - began < 20


async def test_silence_ends_at_the_deadline(caller: Caller) -> None:
    """Somebody listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        caller.at(f"http://127.0.0.1:{listener.getsockname()[1]}", deadline_s=0.5)

        with pytest.raises(Unreachable):
            await caller.do("count", "c1")
