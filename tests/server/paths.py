"""Two services that differ in the path of heartbeats alone, one client for both, and requests of every kind.

Used by test_fast_path. They have a Redis in common and a key prefix each, so that both start from the
same state and hand out the same leave tokens; a course is cleared before it is used again.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import pairwise
from typing import NamedTuple

from hypothesis import strategies as st
from redis import Redis

from presence_svc.store.keys import Keys
from tests.rig import VALKEY, Service, real_server

COURSES = (b"c1", b"c2")
SERVICE_KEY = b"a-service-key-0123456789"
PATIENCE_S = 6.0
PAUSE_S = 0.001
DEADLINE_S = 2.0
# What depends on the moment and not on the path.
MOMENT = re.compile(
    rb'(?<=\r\ndate: )[^\r]+|(?<=\r\nretry-after: )\d+|(?<=;t=)\d+|(?<=\r\netag: )[^\r]+'
    rb'|(?<="expires_at":)\d+|(?<="next_heartbeat_ms":)\d+|(?<="as_of":)\d+|(?<="version":)\d+'
)  # fmt: skip
RUN = re.compile(rb"(.)\1{50,}", re.DOTALL)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: chunked\r\n", re.IGNORECASE)
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
COUNTED = re.compile(r'presence_requests_total\{route="(\w+)",status="(\d+)"\} (\S+)')


class Pair(NamedTuple):
    """The same service twice; `fast` answers heartbeats from the parser, `asgi` by the app."""

    fast: Service
    asgi: Service
    redis: Redis

    def clear(self) -> None:
        """Nobody is in any course, for either path."""
        gone = [key for course in COURSES for key in self.redis.keys(b"*{%b}*" % course)]
        if gone:
            self.redis.delete(*gone)

    def counted(self) -> list[dict[tuple[str, str], float]]:
        """The answers that each path has counted, by route and status."""
        return [_counters(service) for service in (self.fast, self.asgi)]


@contextmanager
def pair(env: Mapping[str, str] | None = None) -> Iterator[Pair]:
    """Both paths, running."""
    with ExitStack() as stack:
        server = stack.enter_context(real_server(VALKEY))
        redis = stack.enter_context(closing(Redis.from_url(server.url)))
        services = []
        for prefix, fast_path in (("pe", "true"), ("pa", "false")):
            redis.set(Keys(prefix).secret, b"s" * 32)
            redis.set(Keys(prefix).partitions[0].since, 0)  # not warming: that ends earlier in one path
            own = {
                "PRESENCE_KEY_PREFIX": prefix,
                "PRESENCE_FAST_PATH": fast_path,
                "PRESENCE_REDIS_URL": server.url,
            }
            # Starlette names the methods of a 405 in the order of a set.
            common = {"PRESENCE_REQUEST_DEADLINE": str(DEADLINE_S), "PYTHONHASHSEED": "0", **(env or {})}
            services.append(stack.enter_context(Service(common | own)))
        yield Pair(services[0], services[1], redis)


def _counters(service: Service) -> dict[tuple[str, str], float]:
    ask = b"GET /metrics HTTP/1.1\r\nauthorization: Bearer %b\r\nconnection: close\r\n\r\n"
    (reply,) = Client.ask(service, [ask % SERVICE_KEY])
    assert reply.startswith(b"HTTP/1.1 200 ")
    found = COUNTED.findall(reply.decode())
    return {(route, status): float(n) for route, status, n in found if route not in ("metrics", "readyz")}


class Step(NamedTuple):
    """Bytes that are sent, in packets, before anything is read; and how many replies they ask for."""

    packets: tuple[bytes, ...]
    replies: int

    def __repr__(self) -> str:
        """With long runs of one byte cut short: Hypothesis refuses to print them."""
        return f"Step({tuple(RUN.sub(_shorter, packet) for packet in self.packets)}, {self.replies})"


def _shorter(run: re.Match[bytes]) -> bytes:
    return b"<%b x %d>" % (run[1], len(run[0]))


class Client:
    """One connection. Every wait is bounded; a connection that is reset counts as closed."""

    def __init__(self, service: Service) -> None:
        self._socket = socket.create_connection(("127.0.0.1", service.port), PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self.is_closed = False

    @classmethod
    def ask(cls, service: Service, packets: Iterable[bytes]) -> list[bytes]:
        """All replies to these packets, until the server closes."""
        with cls(service) as client:
            client.send(packets)
            return client.rest()

    def send(self, packets: Iterable[bytes]) -> None:
        for number, packet in enumerate(packets):
            if number:
                time.sleep(PAUSE_S)  # else the kernel would join them again
            with suppress(OSError):
                self._socket.sendall(packet)

    def replies(self, many: int) -> list[bytes]:
        """The next `many` replies, as they came; fewer when the server closes before. 1xx do not count."""
        found: list[bytes] = []
        while many:
            reply = self._reply()
            if reply is None:
                return found
            found.append(reply)
            many -= not reply.startswith(b"HTTP/1.1 1")
        return found

    def rest(self) -> list[bytes]:
        """All replies until the server closes. What is no whole reply is the last of them."""
        found = self.replies(10_000)
        return [*found, self._buffer] if self._buffer else found

    def close(self, *, reset: bool = False) -> None:
        """Goes away, in order or by RST."""
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reply(self) -> bytes | None:
        while (end := _end(self._buffer)) is None:
            try:
                more = self._socket.recv(65_536)
            except ConnectionResetError:
                more = b""
            if not more:
                self.is_closed = True
                return None
            self._buffer += more
        reply, self._buffer = self._buffer[:end], self._buffer[end:]
        return reply


def _end(received: bytes) -> int | None:
    """Where the first reply ends, if it is whole."""
    head_end = received.find(b"\r\n\r\n") + 4
    if head_end < 4:
        return None
    head = received[:head_end]
    if CHUNKED.search(head):
        end = received.find(b"0\r\n\r\n", head_end)
        return None if end < 0 else end + 5
    length = LENGTH.search(head)
    end = head_end + (int(length[1]) if length else 0)
    return end if len(received) >= end else None


def told(service: Service, steps: Sequence[Step]) -> list[list[bytes]]:
    """What a service answers to each step, but for what depends on the moment; the last step ends it."""
    with Client(service) as client:
        answers = []
        for step in steps[:-1]:
            client.send(step.packets)
            answers.append(client.replies(step.replies))
        client.send(steps[-1].packets)
        answers.append(client.rest())
        return [[MOMENT.sub(b"*", reply) for reply in replies] for replies in answers]


# Request bytes. Everything is weighted so that most requests are good heartbeats, most of those plain.

BODIES = (
    b'{"viewer_id":"u1"}',
    b'{"viewer_id":"u1","seq":%d}',
    b'{"viewer_id":"u1","session_id":"s1","chapter_id":"ch-1","name":"Ada","seq":%d}',
    b'{"viewer_id":"u1","session_id":"s1","chapter_id":"ch-%d","hidden":true}',
    b'{"viewer_id":"u2", "seq": %d, "anonymous": true}',
    b'{"viewer_id":"u%d","avatar_url":"https://x.example/a.png"}',
    b'{"viewer_id":"u1","seq" :%d}',
    b'{"seq":%d.0,"viewer_id":"u1"}',
    b'{"viewer_id":"u1","name":"\xc3\x85sa \\"seq\\":%d,"}',
    b' \r\n\r\n{"viewer_id":"u1","seq":%d}\r\n\r\n',
)
WRONG_BODIES = (
    b"", b"{", b"null", b"[]", b'{"viewer_id":1}', b'{"viewer_id":"a b","seq":-1}',
    b'{"viewer_id":"u1","seq":01}', b'{"viewer_id":"u1","seq":NaN}', b'{"viewer_id":"u1\x00"}',
    b'{"viewer_id":"\xff"}', b'{"session_id":"s"}',
    b'{"viewer_id":"u1","name":"%b"}' % (b"x" * 81), b'{"viewer_id":"u1","avatar_url":"http://x"}',
    b'{"viewer_id":"u1","x":"%b"}' % (b"y" * 8_192), b'{"viewer_id":"u1","x":"%b"}' % (b"y" * 8_100),
)  # fmt: skip
TYPES = (
    b"Content-Type: application/json\r\n", b"content-type:application/json\r\n",
    b"CONTENT-TYPE: application/json\r\n",
    b"Content-Type: application/json; charset=utf-8\r\n", b"Content-Type: Application/JSON\r\n",
    b"Content-Type: text/plain\r\n", b"Content-Type:  application/json \t\r\n", b"",
    b"Content-Type: application/json\r\nContent-Type: text/plain\r\n",
    b"Content-Type: text/plain\r\nContent-Type: application/json\r\n",
)  # fmt: skip
HEADERS = (
    b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"connection: Close, x\r\n",
    b"Expect: 100-continue\r\n", b"expect: 100-Continue\r\n", b"Expect: x\r\n",
    b"Content-Encoding: gzip\r\n", b"content-encoding: Identity\r\n",
    b"X-Forwarded-For: 1.2.3.4\r\n",
    b"X-Forwarded-For: 1.2.3.4, \xff, ]\r\n", b"X-Forwarded-Proto: https\r\n", b"Origin: https://x.example\r\n",
    b"Origin: null\r\n", b"origin: https://a.example\r\nOrigin: https://b.example\r\n", b"Origin: \xff\r\n",
    b"Authorization: Bearer a.b.c\r\n", b"Authorization: x\r\n", b"authorization:\r\n", b"X: y\r\nX: y\r\n",
    b"Upgrade: h2c\r\n", b"Transfer-Encoding: identity\r\n",
    b"User-Agent: %b\r\n" % (b"x" * 2_100), b"Cookie:  a=b \r\n", b"x:\r\n", b"If-None-Match: *\r\n",
)  # fmt: skip
ODD_HEADERS = (
    b"Content-Length: 5\r\n", b"X y: z\r\n", b": x\r\n", b"x: y\r\n z\r\n", b"x: \x00\r\n", b"x: y\n",
    b"x\r\n",
    b"X-Long: %b\r\n" % (b"x" * 17_000), b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n",
)  # fmt: skip
PATHS = (
    b"/v1/courses/c1/heartbeat?x=1", b"/v1/courses/%631/heartbeat", b"/v1/courses/c%201/heartbeat",
    b"/v1/courses//heartbeat", b"/v1/courses/c1/heartbeat/", b"http://x/v1/courses/c1/heartbeat",
    b"/v1/courses/%b/heartbeat" % (b"c" * 129), b"/v1/courses/c1/heartbeat#x", b"/v1/courses/c{1}/heartbeat",
    b"/v1/courses/c1/leave", b"/v1/courses/c1/nothing", b"/v1/heartbeats", b"/livez",
)  # fmt: skip
READS = tuple(
    b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path
    for path in (
        b"/livez",
        b"/v1/courses/c1/count",
        b"/v1/courses/c1/heartbeat",
        b"/nothing",
        b"/v1/counts?course_id=c2",
    )
)
GOODBYE = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
# Behind bytes of any kind: whatever waits for the rest of a body gets it, and then what is not HTTP.
TAIL = GOODBYE + b"\x00" * 10_000


def seldom(usual: st.SearchStrategy[bytes], unusual: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """One in five is unusual."""
    return st.integers(0, 4).flatmap(lambda n: usual if n else unusual)


def _numbered(body: bytes) -> st.SearchStrategy[bytes]:
    return st.integers(0, 12).map(lambda n: body % n) if b"%d" in body else st.just(body)


GOOD_BODIES = st.sampled_from(BODIES).flatmap(_numbered)
ANY_BODY = seldom(GOOD_BODIES, st.sampled_from(WRONG_BODIES))


@st.composite
def requests(draw: st.DrawFn, tokens: tuple[bytes, ...] = ()) -> bytes:
    """A request that HTTP allows: a heartbeat, or nearly one, or something else."""
    if not draw(st.integers(0, 7)):
        return draw(st.sampled_from(READS))
    body = draw(ANY_BODY)
    heartbeat = st.sampled_from([b"/v1/courses/%b/heartbeat" % course for course in COURSES])
    path = draw(seldom(heartbeat, st.sampled_from(PATHS)))
    kind = draw(seldom(st.just(TYPES[0]), st.sampled_from(TYPES)))
    more = draw(
        seldom(st.just(b""), st.lists(st.sampled_from(HEADERS), min_size=1, max_size=2).map(b"".join))
    )
    if tokens:
        more += draw(seldom(st.sampled_from(tokens[:2]), st.sampled_from(tokens)))
    framing, content = draw(_framed(body))
    version = draw(st.sampled_from([b"1.1"] * 12 + [b"1.0"]))
    return b"POST %b HTTP/%b\r\nHost: x\r\n%b%b%b\r\n%b" % (path, version, kind, more, framing, content)


@st.composite
def _framed(draw: st.DrawFn, body: bytes) -> tuple[bytes, bytes]:
    """The header that says how long a body is, and the body as it travels."""
    how = draw(st.integers(0, 15))
    if how == 0:
        cut = draw(st.integers(0, len(body)))
        parts = [part for part in (body[:cut], body[cut:]) if part]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        return b"Transfer-Encoding: chunked\r\n", chunks + b"0\r\n\r\n"
    if how == 1:
        return b"Content-Length: 00%d\r\n" % len(body), body
    if how == 2:
        return b"content-LENGTH:%d \r\n" % len(body), body
    return b"Content-Length: %d\r\n" % len(body), body


def _cut(data: bytes, points: Iterable[int]) -> tuple[bytes, ...]:
    edges = [0, *sorted({point for point in points if 0 < point < len(data)}), len(data)]
    return tuple(data[start:end] for start, end in pairwise(edges))


@st.composite
def steps(draw: st.DrawFn, tokens: tuple[bytes, ...]) -> Step:
    """One request alone, more often than not in one packet; or a pipeline of several."""
    said = draw(st.lists(requests(tokens), min_size=1, max_size=draw(st.sampled_from([1, 1, 1, 1, 4]))))
    if not draw(st.integers(0, 7)):
        said.insert(0, draw(st.sampled_from([b"\r\n", b"\r\n\r\n"])))
    data = b"".join(said)
    points = draw(seldom_list(st.integers(1, len(data))))
    return Step(_cut(data, points), sum(len(part) > 4 for part in said))


def seldom_list(points: st.SearchStrategy[int]) -> st.SearchStrategy[list[int]]:
    """No point, twice in three times."""
    return st.integers(0, 2).flatmap(lambda n: st.just([]) if n else st.lists(points, max_size=4))


@st.composite
def nonsense(draw: st.DrawFn, tokens: tuple[bytes, ...]) -> bytes:
    """Requests with bytes exchanged, a header that HTTP forbids, or noise behind them."""
    data = b"".join(draw(st.lists(requests(tokens), min_size=1, max_size=3)))
    how = draw(st.integers(0, 2))
    if how == 0:
        return data + b"\x00" + draw(st.binary(max_size=3))
    if how == 1:
        line_end = data.index(b"\r\n") + 2
        return data[:line_end] + draw(st.sampled_from(ODD_HEADERS)) + data[line_end:]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(0, 3))
        data = data[:at] + draw(st.binary(max_size=3)) + data[at + size :]
    return data


@st.composite
def scripts(draw: st.DrawFn, tokens: tuple[bytes, ...] = ()) -> list[Step]:
    """A connection's life: requests that repeat themselves, and an end that may be nonsense."""
    said = draw(st.lists(steps(tokens), min_size=1, max_size=3))
    again = [said[index] for index in draw(st.lists(st.integers(0, len(said) - 1), max_size=3))]
    if draw(st.integers(0, 3)):
        return [*said, *again, Step((GOODBYE,), 1)]
    return [*said, *again, Step((draw(nonsense(tokens)) + TAIL,), 1)]
