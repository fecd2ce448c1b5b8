"""Both paths of a heartbeat answer alike, byte for byte, good input and bad."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from joserfc import jwk, jwt

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.conftest import SpawnService
from tests.rig import Service
from tests.server.paths import (
    BODIES,
    GOODBYE,
    HEADERS,
    SERVICE_KEY,
    TYPES,
    WRONG_BODIES,
    Client,
    Pair,
    Step,
    pair,
    scripts,
    told,
)

SECRET = "a secret of thirty-two bytes, or more"
BODY = b'{"viewer_id":"u1","seq":7}'
# No shrinking: where one path hangs, each attempt would cost the client's whole patience.
ANYTHING = hypothesis_settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
FEW_AND_MANY = pytest.mark.parametrize("examples", [60, pytest.param(250, marks=pytest.mark.slow)])
PATHS = pytest.mark.parametrize("fast_path", ["true", "false"], ids=["fast path", "asgi"])


def beat(body: bytes = BODY, *, more: bytes = b"", course: bytes = b"c1", length: int | None = None) -> bytes:
    """A heartbeat as players send it."""
    head = (
        b"POST /v1/courses/%b/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n%b\r\n"
    )
    return head % (course, len(body) if length is None else length, more) + body


def one(*packets: bytes, replies: int = 1) -> Step:
    return Step(packets, replies)


END = one(GOODBYE)


def token(sub: str = "u1", secret: str = SECRET, lasts_s: float = 3_600, **claims: Any) -> bytes:
    said = {"sub": sub, "exp": int(time.time() + lasts_s), **claims}
    return (
        b"Authorization: Bearer %b\r\n"
        % jwt.encode({"alg": "HS256"}, said, jwk.OctKey.import_key(secret)).encode()
    )


def tokens() -> tuple[bytes, ...]:
    """Two good ones first; then those that open nothing here, and those that open more."""
    return (
        token(name="Ada"),
        token("u2"),
        token(courses=["c2"]),
        token(lasts_s=-3_600),
        token(secret=SECRET[::-1]),
        token()[:-4] + b"\r\n",
        token().replace(b"Bearer ", b"bearer   "),
        b"Authorization: Bearer %b\r\n" % SERVICE_KEY,
        b"Authorization: Basic dTE6\r\n",
        b"",
    )


@pytest.fixture(scope="module")
def trusted() -> Iterator[Pair]:
    with pair() as running:
        yield running


@pytest.fixture(scope="module")
def guarded() -> Iterator[Pair]:
    """AUTH=jwt, with limits that nobody meets by chance: a bucket fills while a path waits."""
    env = {
        "PRESENCE_AUTH": "jwt",
        "PRESENCE_JWT_SECRET": SECRET,
        "PRESENCE_SERVICE_KEYS": SERVICE_KEY.decode(),
        "PRESENCE_ADDRESS_BURST": "100000",
        "PRESENCE_BEAT_BURST": "100000",
        "PRESENCE_READ_BURST": "100000",
        "PRESENCE_CORS_ORIGINS": "https://x.example",
    }
    with pair(env) as running:
        yield running


def agree(paths: Pair, *script: Step) -> list[list[bytes]]:
    """What both paths answer to this script, from the same state. Fails when they differ."""
    answers = []
    for service in (paths.fast, paths.asgi):
        paths.clear()
        answers.append(told(service, script))
    assert answers[0] == answers[1]
    return answers[0]


def statuses(answers: list[list[bytes]]) -> list[int]:
    return [int(reply[9:12]) for replies in answers for reply in replies]


class Counting:
    """What each path counts meanwhile. `check` fails when they count differently, or nothing at all."""

    def __init__(self, paths: Pair) -> None:
        self._paths = paths
        self._before = paths.counted()

    def check(self) -> dict[tuple[str, str], float]:
        grown = [
            {key: many - before.get(key, 0) for key, many in now.items() if many > before.get(key, 0)}
            for before, now in zip(self._before, self._paths.counted(), strict=True)
        ]
        assert grown[0] == grown[1]
        assert grown[0]
        return grown[0]


# Any bytes.


@pytest.mark.timeout(150)
@FEW_AND_MANY
def test_any_bytes_get_the_same_answers(trusted: Pair, examples: int) -> None:
    """Whatever is sent, in whatever packets: same status, headers and body, and the same is counted."""
    counting = Counting(trusted)

    @given(scripts())
    @hypothesis_settings(ANYTHING, max_examples=examples)
    def run(script: list[Step]) -> None:
        agree(trusted, *script)

    run()

    counting.check()


@pytest.mark.timeout(150)
@FEW_AND_MANY
def test_any_bytes_with_any_token_get_the_same_answers(guarded: Pair, examples: int) -> None:
    """The same with AUTH=jwt: tokens that are good, expired, foreign, spoilt, or keys of a service."""
    counting = Counting(guarded)

    @given(scripts(tokens()))
    @hypothesis_settings(ANYTHING, max_examples=examples)
    def run(script: list[Step]) -> None:
        agree(guarded, *script)

    for header in tokens()[:4]:  # what must have been counted is not left to chance
        agree(guarded, one(beat(more=header)), END)
    run()

    assert counting.check().keys() >= {("heartbeat", "200"), ("heartbeat", "401"), ("heartbeat", "403")}


# One by one, so that none is left to chance.


@pytest.mark.parametrize("kind", [*TYPES, *HEADERS])
def test_every_kind_of_header_gets_the_same_answer(trusted: Pair, kind: bytes) -> None:
    """Once, again when its head could have been remembered, and over HTTP/1.0 too."""
    said = beat(more=kind)
    if kind in TYPES:
        said = beat().replace(b"Content-Type: application/json\r\n", kind)
    old = said.replace(b"HTTP/1.1", b"HTTP/1.0")

    for again in (said, old, old.replace(b"Host: x\r\n", b"Connection: keep-alive\r\n")):
        agree(trusted, one(beat()), one(again), one(again), END)


@pytest.mark.parametrize("body", [*BODIES, *WRONG_BODIES])
def test_every_kind_of_body_gets_the_same_answer(trusted: Pair, body: bytes) -> None:
    """Alone, again, in two packets, and with another request behind it."""
    said = beat(body % 7 if b"%d" in body else body)

    agree(
        trusted,
        one(beat()),
        one(said),
        one(said),
        one(said[:-1], said[-1:]),
        one(said + said, replies=2),
        END,
    )


def test_every_token_gets_the_same_answer(guarded: Pair) -> None:
    """For oneself, for another viewer and another course, and when two are shown: the first one counts."""
    known = tokens()
    for more in (*known, known[0] + known[1], known[1] + known[0], known[3] + known[0], known[0] + known[3]):
        for said in (
            beat(more=more),
            beat(BODY.replace(b"u1", b"u2"), more=more),
            beat(more=more, course=b"c2"),
        ):
            agree(guarded, one(beat(more=known[0])), one(said), one(said), END)


def test_every_origin_gets_the_same_answer(guarded: Pair) -> None:
    """One that may call, others, and two at once: the first one counts."""
    ours, foreign = b"Origin: https://x.example\r\n", b"Origin: https://y.example\r\n"
    for origins in (ours, foreign, ours + foreign, foreign + ours):
        said = beat(more=token() + origins)

        answers = agree(guarded, one(said), one(said), one(said), END)

        assert (b"access-control-allow-origin" in answers[2][0]) == origins.startswith(ours)


# What has gone wrong once, or nearly.


def test_a_head_that_was_seen_before_may_bring_another_body(trusted: Pair) -> None:
    """A remembered head says nothing of the body: good, wrong, and good again, whole or in parts."""
    bodies = [BODY, BODY, b'{"viewer_id":"u 1","seq":7}'[:26], b'{"viewer_id":"u2","seq":9}', b"x" * 26, BODY]
    assert {len(body) for body in bodies} == {len(BODY)}

    answers = agree(trusted, *[one(beat(body)) for body in bodies], one(beat()[:-9], beat()[-9:]), END)

    assert statuses(answers) == [200, 200, 400, 200, 400, 200, 200, 200]


def test_a_late_duplicate_stays_late_however_its_seq_is_written(trusted: Pair) -> None:
    """S6: `"seq" : 7` and `7.0` were read as 7 the first time, and as nothing when they came again."""
    for body in (
        b'{"viewer_id":"u1","seq" :7}',
        b'{"viewer_id":"u1","seq":7.0}',
        b'{"seq":7 ,"viewer_id":"u1"}',
    ):
        leave = beat(b'{"viewer_id":"u1","seq":8}').replace(b"/heartbeat ", b"/leave ")
        count = b"GET /v1/courses/c1/count HTTP/1.1\r\nHost: x\r\n\r\n"

        answers = agree(trusted, one(beat(body)), one(leave), one(beat(body)), one(count), END)

        assert statuses(answers) == [200, 204, 200, 200, 200]
        assert b'"total":0' in answers[3][0]


@pytest.mark.parametrize("space", [b"\n", b"\r", b"\r\n", b"\r\n\r\n"], ids=repr)
def test_line_ends_in_a_body_are_no_end_of_its_head(trusted: Pair, space: bytes) -> None:
    """They are JSON's white space: before, behind and in what is said; remembered heads do not hide them."""
    bodies = (BODY, space + BODY, BODY + space, BODY.replace(b":", b":" + space))
    other = (space + BODY.replace(b"u1", b"u2"), BODY.replace(b"u1", b"u2") + space)

    answers = agree(trusted, *(one(beat(body)) for body in (*bodies, *bodies, *other)), END)

    assert statuses(answers) == [200] * 11
    assert [b'"viewer_id":"u2"' in replies[0] for replies in answers[:-1]] == [False] * 8 + [True] * 2


def test_line_ends_before_a_request_are_no_head_to_remember(trusted: Pair) -> None:
    """The request behind the next such line ends was taken for the body of the first one's heartbeat."""
    head = beat(b"", length=0).replace(b"Content-Length: 0", b"Content-Length: 100")
    head = head.replace(b"Length: 100", b"Length: %d" % len(head))
    body = BODY.ljust(len(head))
    disguised = b"GET /livez HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n"
    disguised %= b"y" * (len(head) - len(disguised) + 2)

    answers = agree(trusted, one(beat()), one(b"\r\n\r\n" + head, body), one(b"\r\n\r\n" + disguised), END)

    assert statuses(answers) == [200, 200, 200, 200]
    assert b"alive" in answers[2][0]


def test_a_packet_of_two_requests_is_remembered_as_neither(trusted: Pair) -> None:
    """What the second head says was remembered under the first one's bytes."""
    wrong = beat(b"{")
    second = beat(b"", course=b"c2", length=0).replace(b"Content-Length: 0", b"Content-Length: 100")
    second = second.replace(b"Length: 100", b"Length: %d" % (len(second) + 1))
    disguised = b"GET /livez HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n"
    disguised %= b"y" * (len(second) - len(disguised) + 2)

    answers = agree(
        trusted,
        one(beat()),
        one(wrong + second, BODY.ljust(len(second) + 1), replies=2),
        one(wrong + disguised, replies=2),
        END,
    )

    assert statuses(answers) == [200, 400, 200, 400, 200, 200]
    assert b"alive" in answers[2][1]


def test_refused_heartbeats_are_no_part_of_the_next_head(trusted: Pair) -> None:
    """Nearly sixteen KiB of heads of their own, all refused, and a head in two packets: that was 431."""
    cap, size = 16_384, 800
    empty = len(beat(b"{", more=b"X: 00\r\n"))
    refused = [
        one(beat(b"{", more=b"X: %02d%b\r\n" % (n, b"y" * (size - empty)))) for n in range(cap // size)
    ]
    halves = beat(more=b"X: %b\r\n" % (b"y" * size))

    answers = agree(trusted, *refused, one(halves[: size + 50], halves[size + 50 :]), END)

    assert statuses(answers) == [400] * len(refused) + [200, 200]


def test_a_large_body_behind_a_heartbeat_is_not_a_large_head(trusted: Pair) -> None:
    """A batch that comes in many packets, pipelined behind a heartbeat, may be larger than any head."""
    batch = b'{"heartbeats":[%b]}' % b",".join([b'{"course_id":"c1","viewer_id":"v"}'] * 1_000)
    said = b"POST /v1/heartbeats HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    said += b"Content-Length: %d\r\n\r\n" % len(batch) + batch
    parts = [said[at : at + 4_000] for at in range(0, len(said), 4_000)]

    answers = agree(trusted, one(beat()), one(beat() + parts[0], *parts[1:], replies=2), END)

    assert statuses(answers) == [200, 200, 200, 200]


def test_noise_behind_a_refused_heartbeat_is_met_alike(trusted: Pair) -> None:
    """A refusal was written while its packet was still being parsed, and noise then got an answer too."""
    answers = agree(trusted, one(beat()), one(beat(b"{") + b"\x00noise", replies=9))

    assert statuses(answers) == [200, 400]


def test_an_offer_of_http_2_is_met_alike(trusted: Pair) -> None:
    """Some clients offer h2c with every first request."""
    offer = beat(more=b"Connection: Upgrade\r\nUpgrade: h2c\r\n")
    answers = []
    for service in (trusted.fast, trusted.asgi):
        with Client(service) as client:
            client.send([offer])
            (reply,) = client.replies(1)
            answers.append(reply.partition(b"\r\n\r\n")[0].split(b"\r\n")[0])

    assert answers[0] == answers[1]


def test_the_heartbeat_beyond_a_limit_is_refused_alike() -> None:
    """H7: the same number passes in both paths; Retry-After and the RateLimit fields are the same."""
    env = {"PRESENCE_AUTH": "jwt", "PRESENCE_JWT_SECRET": SECRET}
    env |= {"PRESENCE_BEAT_BURST": "3", "PRESENCE_BEAT_RATE": "0.05"}
    said = beat(more=token())
    with pair(env) as paths:
        answers = agree(paths, *[one(said)] * 6, END)

    assert statuses(answers) == [200, 200, 200, 429, 429, 429, 200]
    assert b"\r\nratelimit-policy: " in answers[5][0]


def test_a_token_that_expires_on_a_kept_connection_is_refused_alike(guarded: Pair) -> None:
    """H6: heartbeats pass until the token ends, leeway included, and then get 401."""
    ends = time.time() - 5 + 2
    said = beat(more=token(lasts_s=ends - time.time()))
    seen: list[list[int]] = []
    for service in (guarded.fast, guarded.asgi):
        with Client(service) as client:
            seen.append([])
            while 401 not in seen[-1] and len(seen[-1]) < 200:
                client.send([said])
                seen[-1] += statuses([client.replies(1)])
                time.sleep(0.05)

    assert seen[0][0] == 200
    assert seen[0][-1] == seen[1][-1] == 401


# Connections that end.


def test_what_is_given_up_is_counted_alike(trusted: Pair) -> None:
    """A client that goes away in the middle of a body, in the middle of a head, or after the answer."""
    counting = Counting(trusted)
    for service in (trusted.fast, trusted.asgi):
        for said in (beat(), beat()[:-3], beat()[:40], beat(length=1_000)):
            with Client(service) as client:
                client.send([beat()])
                client.replies(1)
                client.send([said])
                time.sleep(0.1)
        time.sleep(0.3)

    assert counting.check() == {("heartbeat", "200"): 5.0, ("heartbeat", "400"): 2.0}


class Held:
    """A service whose Redis stands still from `hold` to `release`: heartbeats stay under way meanwhile."""

    def __init__(self, service: Service, server: EmbeddedServer) -> None:
        self.service = service
        self._pid = server.pid

    def hold(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def release(self) -> None:
        os.kill(self._pid, signal.SIGCONT)


@pytest.fixture
def held(spawn_service: SpawnService, own_server: EmbeddedServer) -> Iterator[Callable[[str], Held]]:
    made: list[Held] = []

    def make(fast_path: str) -> Held:
        service = spawn_service(
            {
                "PRESENCE_REDIS_URL": own_server.url,
                "PRESENCE_FAST_PATH": fast_path,
                "PRESENCE_REDIS_TIMEOUT": "0.45",
            }
        )
        made.append(Held(service, own_server))
        return made[-1]

    yield make
    for one_held in made:
        one_held.release()


@PATHS
def test_a_heartbeat_under_way_is_answered_before_the_service_ends(
    held: Callable[[str], Held], fast_path: str
) -> None:
    """SIGTERM: what was asked is answered, says that it closes, and the connection ends with it."""
    stage = held(fast_path)
    with Client(stage.service) as client, Client(stage.service) as halfway:
        for each in (client, halfway):
            each.send([beat()])
            each.replies(1)
        halfway.send([beat()[:-5]])

        stage.hold()
        client.send([beat()])
        time.sleep(0.05)
        os.kill(stage.service.pid, signal.SIGTERM)
        time.sleep(0.15)
        stage.release()
        answers = client.rest()
        halfway.send([beat()[-5:]])
        halfway_answers = halfway.rest()

    # 503 when the machine was too busy to release Redis within its deadline: an answer all the same.
    for replies in (answers, halfway_answers):
        assert statuses([replies]) in ([200], [503])
        assert b"\r\nconnection: close\r\n" in replies[0]
    assert stage.service.terminate() == 0


@PATHS
def test_clients_that_go_away_while_their_heartbeat_is_under_way_do_no_harm(
    held: Callable[[str], Held], fast_path: str
) -> None:
    """The answers have nobody to go to; the next heartbeat is served, and nothing is logged as a bug."""
    stage = held(fast_path)
    clients = [Client(stage.service) for _ in range(5)]
    for client in clients:
        client.send([beat()])
        client.replies(1)

    stage.hold()
    for client in clients:
        client.send([beat()])
    time.sleep(0.05)
    for number, client in enumerate(clients):
        client.close(reset=number % 2 == 1)
    time.sleep(0.05)
    stage.release()

    deadline = time.monotonic() + 10
    status = 0
    while status != 200 and time.monotonic() < deadline:  # 503 while the breaker is open
        (status, *_) = statuses([Client.ask(stage.service, [beat() + GOODBYE])])
    assert status == 200
    assert "Traceback" not in stage.service.logs()
    assert "could not be delivered" not in stage.service.logs()
