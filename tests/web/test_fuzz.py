"""Hostile input: ten thousand malformed bodies and requests, and never a 500 nor a hang (H1, H2)."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable

import orjson
import pytest
from redis import Redis

from tests.auth.issuer import Issuer, bearer
from tests.conftest import SpawnService
from tests.rig import Service

SEED = 20_261_122
BODIES = 8_000
REQUESTS = 3_000
SENDERS = 16
STATUS = re.compile(rb"\AHTTP/1\.1 (\d{3}) ")
LENGTH = re.compile(rb"content-length: (\d+)")
KEY = re.compile(
    rb"presence:((?:agenda|heard|seen|gaps|closed):\d+|since|secret|where|\{[A-Za-z0-9_.:@~|=+-]{1,128}\}:[A-Za-z0-9_.:@~|=+-]+)"
)
SAMPLES = (
    b'{"viewer_id":"u1","session_id":"s1","chapter_id":"ch-1","name":"Ada","seq":7}',
    b'{"viewer_id":"u1","avatar_url":"https://x.example/a.png","anonymous":false,"hidden":true}',
    b'{"viewer_id":"u1","soft":true,"leave_token":"0123456789abcdef"}',
    b'{"heartbeats":[{"course_id":"c1","viewer_id":"u1"},{"course_id":"c2"}]}',
)
VALUES = (
    b"null", b"true", b"[]", b"{}", b"-1", b"1e999", b"NaN", b"9007199254740993", b"1.5", b'""', b'"\\u0000"',
    b'"a:b}{*?\\n"', b'"\\ud800"', b'"\xff\xfe"', b'"' + b"x" * 200 + b'"', b"[" * 500, b'{"a":' * 300,
    b'"javascript:alert(1)"', b'"\xe2\x80\xae"', b"1" * 400, b'"main\\r\\nX: y"',
)  # fmt: skip
PATHS = (
    b"/v1/courses/c1/heartbeat", b"/v1/courses/c1/leave", b"/v1/heartbeats", b"/v1/courses/c1/count",
    b"/v1/courses/%00/heartbeat", b"/v1/courses/a%2Fb/heartbeat", b"/v1/courses/%ff%fe/count",
    b"/v1/courses//count",
    b"/v1/courses/c1/viewers?limit=99999999999999999999&cursor=%00", b"/v1/courses/c1/viewers?cursor=W10",
    b"/v1/counts?course_id=*", b"/v1/counts?" + b"course_id=x&" * 300, b"/v1/courses/{c}/live?viewers=x",
    b"/static/../../etc/passwd", b"/static/%2e%2e/%2e%2e/app.py", b"/v1/courses/c1/viewers/%0d%0aX",
    b"//", b"*",
)  # fmt: skip
METHODS = (b"GET", b"POST", b"DELETE", b"PUT", b"HEAD", b"OPTIONS", b"PATCH", b"TRACE", b"get", b"BREW")
HEADERS = (
    b"content-type: application/json", b"content-type: text/plain", b"content-type: \xff",
    b"content-length: 3",
    b"content-length: x", b"transfer-encoding: chunked", b"transfer-encoding: gzip, chunked",
    b"expect: 100-continue",
    b"authorization: Bearer", b"authorization: \xff\xfe", b"authorization: Bearer a.b.c", b"origin: null",
    b"x-forwarded-for: 1.2.3.4, \xff, ]", b"if-none-match: ,,\"",
    b"upgrade: websocket\r\nconnection: upgrade",
    b"upgrade: h2c\r\nconnection: upgrade", b"connection: close", b"accept-encoding: gzip;q=x",
    b"x: " + b"y" * 3_000,
)  # fmt: skip


def mutated(chance: random.Random) -> bytes:
    """A sample body with a value exchanged, bytes flipped, cut or repeated, or no JSON at all."""
    body = bytearray(chance.choice(SAMPLES))
    for _ in range(chance.randint(1, 3)):
        kind = chance.randrange(6)
        at = chance.randrange(len(body) + 1)
        if kind == 0:
            colons = [m.start() for m in re.finditer(b":", bytes(body))] or [0]
            start = chance.choice(colons) + 1
            end = re.compile(rb"[,}]|\Z").search(bytes(body), start)
            body[start : end.start() if end else start] = chance.choice(VALUES)
        elif kind == 1:
            body[at:at] = chance.randbytes(chance.randint(1, 8))
        elif kind == 2:
            del body[at:]
        elif kind == 3:
            body += bytes(body)
        elif kind == 4 and body:
            body[at % len(body)] ^= 1 << chance.randrange(8)
        else:
            body = bytearray(chance.choice(VALUES))
    return bytes(body[: chance.choice((8_000, 8_000, 200))])


def body_request(chance: random.Random) -> bytes:
    """A well-formed request around a malformed body."""
    path = chance.choice(PATHS[:3])
    body = mutated(chance)
    head = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (path, len(body)) + body


def raw_request(chance: random.Random) -> bytes:
    """A request that is wrong in its line, its headers or its framing."""
    lines = [chance.choice(METHODS) + b" " + chance.choice(PATHS) + b" HTTP/1.1", b"host: x"]
    lines += chance.sample(HEADERS, chance.randint(0, 5))
    data = bytearray(b"\r\n".join(lines) + b"\r\n\r\n" + mutated(chance)[:300])
    for _ in range(chance.choice((0, 0, 1, 3))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


async def ask(port: int, data: bytes) -> int:
    """The first status; 0 when the server closed without one, which malformed bytes may deserve."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(15):
            answer = await reader.read(65_536)
    except OSError:
        answer = b""
    finally:
        writer.transport.abort()
    found = STATUS.match(answer)
    return int(found[1]) if found else 0


async def storm(
    service: Service, make: Callable[[random.Random], bytes], count: int, seed: int
) -> Counter[int]:
    """`count` requests over SENDERS senders; the statuses that came back."""
    seen: Counter[int] = Counter()

    async def send(number: int) -> None:
        chance = random.Random(seed + number)
        for _ in range(count // SENDERS):
            seen[await ask(service.port, make(chance))] += 1

    await asyncio.gather(*(send(number) for number in range(SENDERS)))
    return seen


async def kept_storm(service: Service, count: int, seed: int, headers: dict[str, str]) -> Counter[int]:
    """Malformed bodies over kept connections, as the fast path takes them."""
    seen: Counter[int] = Counter()
    extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()

    async def send(number: int) -> None:
        chance = random.Random(seed + number)
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        for _ in range(count // SENDERS):
            request = body_request(chance).replace(b"host: x\r\n", b"host: x\r\n" + extra, 1)
            writer.write(request)
            async with asyncio.timeout(15):
                head = await reader.readuntil(b"\r\n\r\n")
                length = LENGTH.search(head)
                await reader.readexactly(int(length[1]) if length else 0)
            found = STATUS.match(head)
            assert found is not None
            seen[int(found[1])] += 1
        writer.transport.abort()

    await asyncio.gather(*(send(number) for number in range(SENDERS)))
    return seen


def assert_sane(seen: Counter[int], service: Service) -> None:
    """No status of the 5xx but what Redis's absence gives, no stack trace, and the service lives."""
    print(f"seed {SEED}: {dict(sorted(seen.items()))}")
    assert not {status for status in seen if status >= 500 and status != 503}
    assert "Traceback" not in service.logs()
    assert "unhandled" not in service.logs()
    assert service.get_status("/readyz") == 200


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("auth", ["trusted", "jwt"])
async def test_malformed_bodies_never_give_a_500(
    redis_url: str, spawn_service: SpawnService, auth: str
) -> None:
    """Eight thousand bodies to each route that takes one: 2xx or 4xx, and no key that is not ours (H2)."""
    with Issuer() as issuer:
        env = issuer.env if auth == "jwt" else {}
        limits = {"PRESENCE_BEAT_BURST": "100000", "PRESENCE_READ_BURST": "100000"}
        service = spawn_service(env | limits | {"PRESENCE_REDIS_URL": redis_url})
        headers = bearer(issuer.token("u1", lasts_s=900)) if auth == "jwt" else {}

        seen = await kept_storm(service, BODIES, SEED, headers)

    assert_sane(seen, service)
    assert {200, 400, 422} <= set(seen)
    with Redis.from_url(redis_url) as redis:
        assert [key for key in redis.scan_iter() if not KEY.fullmatch(key)] == []


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_malformed_requests_never_give_a_500(spawn_service: SpawnService) -> None:
    """Four thousand requests with wrong lines, headers and framing: answered or closed, never a 500."""
    service = spawn_service({"PRESENCE_REQUEST_DEADLINE": "0.3"})

    seen = await storm(service, raw_request, REQUESTS, SEED)

    assert_sane(seen, service)
    assert {400, 404, 405} <= set(seen)


async def test_a_sample_of_both(spawn_service: SpawnService) -> None:
    """The same storms, small enough for every run."""
    service = spawn_service({"PRESENCE_REQUEST_DEADLINE": "0.3"})

    seen = await kept_storm(service, 400, SEED, {}) + await storm(service, raw_request, 160, SEED)

    assert_sane(seen, service)


def test_the_fuzzer_makes_what_it_says() -> None:
    """Some of its bodies are JSON and most are not: it would prove nothing with one kind only."""
    chance = random.Random(SEED)
    good = 0

    for _ in range(1_000):
        try:
            orjson.loads(mutated(chance))
            good += 1
        except orjson.JSONDecodeError:
            pass

    assert 100 < good < 700
