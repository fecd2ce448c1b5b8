"""Who may do what: every route of the app with every kind of caller, and the status that each gets (H4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import httpx2
import orjson
import pytest
from joserfc import jwk
from starlette.routing import Route
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from presence_svc.auth.caller import SERVICE, Caller, Role
from presence_svc.auth.roles import Action, Permissions, rights
from presence_svc.settings import Settings
from presence_svc.web.api.routes import mounted
from tests.auth.issuer import Issuer, bearer
from tests.rig import Service

KEY = "a-service-key-of-the-matrix"
CREATOR_KEY = "a-creator-key-of-the-matrix"
SESSION = "0123456789abcdef0123"
COURSE = "/v1/courses/{course_id}"
# The status for: nobody, a bad token, u1 who may enter c1, u2 who may not, a service; for creators: by a key
# to c1, by a key to another course, by a token that opens c2 and says that c1 is theirs. Asked of course c1.
MATRIX: dict[tuple[str, str], tuple[int, ...]] = {
    ("POST", f"{COURSE}/heartbeat"): (401, 401, 200, 403, 200, 403, 403, 403),
    ("POST", f"{COURSE}/leave"): (401, 401, 204, 403, 204, 403, 403, 204),
    ("GET", f"{COURSE}/count"): (401, 401, 200, 403, 200, 200, 403, 200),
    ("GET", f"{COURSE}/viewers"): (401, 401, 200, 403, 200, 200, 403, 200),
    ("DELETE", f"{COURSE}/viewers/{{viewer_id}}"): (401, 401, 204, 403, 204, 403, 403, 403),
    ("GET", f"{COURSE}/live"): (401, 401, 200, 403, 200, 200, 403, 200),
    ("WEBSOCKET", f"{COURSE}/ws"): (401, 401, 101, 403, 101, 403, 403, 403),
    ("GET", "/v1/counts"): (401, 401, 200, 403, 200, 200, 403, 200),
    ("GET", "/v1/live"): (401, 401, 200, 403, 200, 200, 403, 200),
    ("POST", "/v1/counts"): (401, 401, 200, 403, 200, 200, 403, 200),
    ("POST", "/v1/live"): (401, 401, 200, 403, 200, 200, 403, 200),
    ("POST", "/v1/heartbeats"): (401, 401, 403, 403, 200, 403, 403, 403),
    ("GET", "/v1/stats"): (401, 401, 403, 403, 200, 403, 403, 403),
    ("GET", "/v1/titles"): (401, 401, 200, 403, 200, 200, 403, 200),
    ("GET", "/v1/me"): (401, 401, 200, 200, 200, 200, 200, 200),
    ("GET", f"{COURSE}/history"): (401, 401, 403, 403, 200, 200, 403, 200),
    ("GET", f"{COURSE}/history/calendar"): (401, 401, 403, 403, 200, 200, 403, 200),
    ("GET", f"{COURSE}/history/heatmap"): (401, 401, 403, 403, 200, 200, 403, 200),
    ("GET", "/v1/history/export"): (401, 401, 403, 403, 200, 403, 403, 403),
    ("GET", "/metrics"): (401, 401, 403, 403, 200, 403, 403, 403),
}
OPEN = {"/livez", "/readyz", "/openapi.json"}
SOCKET = f"{COURSE}/ws"  # by plain HTTP it says to everybody what is missing
COUNTS = {f"{COURSE}/count", "/v1/counts", "/v1/titles", f"{COURSE}/live", "/v1/live"}
QUERY = dict.fromkeys(("/v1/counts", "/v1/live", "/v1/titles"), "?course_id=c1") | {
    f"{COURSE}/viewers/{{viewer_id}}": "?ban=0"
}
BODIES: dict[str, Mapping[str, object]] = {
    f"{COURSE}/heartbeat": {"viewer_id": "u1", "session_id": SESSION},
    f"{COURSE}/leave": {"viewer_id": "u1", "session_id": SESSION},
    "/v1/heartbeats": {"heartbeats": [{"course_id": "c1", "viewer_id": "u1"}]},
    "/v1/counts": {"course_ids": ["c1"]},
    "/v1/live": {"course_ids": ["c1"]},
}
CALLERS = ("nobody", "bad token", "u1", "u2", "service", "key", "other key", "u3")


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


def env_of(issuer: Issuer, **more: str) -> dict[str, str]:
    """A service that every caller of a matrix may ask as often as it takes."""
    named = {f"PRESENCE_{name}": value for name, value in more.items()}
    limits = {
        "PRESENCE_ADDRESS_BURST": "10000",
        "PRESENCE_JWT_COURSES_CLAIM": "courses",
        "PRESENCE_JWT_CREATOR_CLAIM": "teaches",
        "PRESENCE_CREATOR_KEYS": f"{CREATOR_KEY} c1 c2,another-key-of-creators c9",
    }
    return issuer.env | limits | {"PRESENCE_SERVICE_KEYS": KEY} | named


@pytest.fixture(scope="module")
def closed(issuer: Issuer) -> Iterator[Service]:
    with Service(env_of(issuer)) as service:
        yield service


@pytest.fixture(scope="module")
def public(issuer: Issuer) -> Iterator[Service]:
    """Counts for everybody, and anonymous viewers."""
    with Service(env_of(issuer, PUBLIC_COUNTS="true", ALLOW_ANONYMOUS="true")) as service:
        yield service


def headers_of(caller: str, issuer: Issuer) -> dict[str, str]:
    if caller == "nobody":
        return {}
    stranger = jwk.RSAKey.generate_key(2048) if caller == "bad token" else None
    tokens: dict[str, Callable[[], str]] = {
        "bad token": lambda: issuer.token("u1", courses="*", key=stranger),
        "u1": lambda: issuer.token("u1", courses=["c1", "c2"]),
        "u2": lambda: issuer.token("u2", courses=["c2"]),
        "service": lambda: KEY,
        "key": lambda: CREATOR_KEY,
        "other key": lambda: "another-key-of-creators",
        "u3": lambda: issuer.token("u1", courses=["c2"], teaches=["c1"]),
    }
    return bearer(tokens[caller]())


def ask(service: Service, method: str, route: str, headers: dict[str, str]) -> int:
    """The status that a route gives; a stream is left after its head."""
    path = route.format(course_id="c1", viewer_id="u1") + QUERY.get(route, "")
    if method == "WEBSOCKET":
        return join(f"ws://127.0.0.1:{service.port}{path}", headers)
    said = BODIES.get(route) if method == "POST" else None
    with httpx2.stream(method, service.url + path, json=said, headers=headers, timeout=5) as reply:
        if reply.status_code >= 400:
            reply.read()
            assert reply.headers["content-type"] == "application/problem+json"
            assert reply.json()["status"] == reply.status_code
        return reply.status_code


def join(url: str, headers: dict[str, str]) -> int:
    """101 for a socket that may join, else the status in its closing code."""
    with connect(url, additional_headers=headers, open_timeout=5, close_timeout=5) as socket:
        socket.send(orjson.dumps({"type": "join", "viewer_id": "u1", "session_id": SESSION}).decode())
        told = orjson.loads(socket.recv(5))
        if told["type"] == "joined":
            return 101
        with pytest.raises(ConnectionClosed):
            socket.recv(5)
        assert socket.close_code == 4000 + told["status"]
        return int(told["status"])


def api_routes() -> set[tuple[str, str]]:
    """(method, path) of everything that is not a file or open to all by design."""
    found = set()
    for route in mounted():
        assert isinstance(route, Route)
        if route.path == SOCKET:
            found.add(("WEBSOCKET", route.path))
        elif route.path not in OPEN and (route.path.startswith("/v1") or route.path == "/metrics"):
            found |= {(method, route.path) for method in (route.methods or set()) - {"HEAD"}}
    return found


def test_the_matrix_names_every_route() -> None:
    """A route that somebody adds must say here who may use it."""
    assert api_routes() == set(MATRIX)


@pytest.mark.parametrize("caller", CALLERS)
def test_every_route_with_every_caller(closed: Service, issuer: Issuer, caller: str) -> None:
    """Section 6: a viewer is themselves in their courses, a service is everybody, others nobody."""
    headers = headers_of(caller, issuer)

    seen = {route: ask(closed, *route, headers) for route in MATRIX}

    assert seen == {route: statuses[CALLERS.index(caller)] for route, statuses in MATRIX.items()}


def test_head_asks_as_get_does(closed: Service) -> None:
    """HEAD is no way around the gate."""
    for method, route in MATRIX:
        if method == "GET" and not route.endswith("/live"):
            path = route.format(course_id="c1", viewer_id="u1") + QUERY.get(route, "")

            assert httpx2.head(closed.url + path).status_code == 401


def test_what_an_operator_probes_is_open(closed: Service) -> None:
    """A load balancer has no token."""
    for path in OPEN:
        assert httpx2.get(closed.url + path).status_code == 200


def test_public_counts_open_counts_and_nothing_else(public: Service) -> None:
    """PUBLIC_COUNTS and ALLOW_ANONYMOUS: nobody sees numbers and may be one: no names, no metrics."""
    expected = {
        route: 200 if route[1] in COUNTS else 401 for route in MATRIX if route[1] != f"{COURSE}/heartbeat"
    }

    seen = {route: ask(public, *route, {}) for route in expected}

    assert seen == expected


def test_who_signs_in_sees_no_less_than_before(public: Service, issuer: Issuer) -> None:
    """PUBLIC_COUNTS: the numbers of a course that the token does not open are as public as they are."""
    opens, shut = headers_of("u1", issuer), headers_of("u2", issuer)

    assert {ask(public, "GET", route, headers) for route in COUNTS for headers in (opens, shut)} == {200}
    assert ask(public, "GET", f"{COURSE}/viewers", shut) == 403


@pytest.mark.parametrize("path", [f"{COURSE}/live", "/v1/live"])
def test_a_public_stream_carries_no_names(public: Service, path: str) -> None:
    """`viewers=5` on a stream is a roster."""
    address = public.url + path.format(course_id="c1")
    query = "?course_id=c1&viewers=5" if path == "/v1/live" else "?viewers=5"

    assert httpx2.get(address + query).status_code == 401


def test_a_bad_token_is_not_taken_for_none(public: Service, issuer: Issuer) -> None:
    """Whoever shows a token that does not hold is told so, also where none would do."""
    reply = httpx2.get(f"{public.url}/v1/courses/c1/count", headers=headers_of("bad token", issuer))

    assert reply.status_code == 401
    assert 'error="invalid_token"' in reply.headers["www-authenticate"]


@pytest.mark.parametrize("verb", ["heartbeat", "leave"])
def test_nobody_speaks_for_another_viewer(closed: Service, issuer: Issuer, verb: str) -> None:
    """A body that claims another viewer gets 403, whatever else is right."""
    reply = httpx2.post(
        f"{closed.url}/v1/courses/c1/{verb}", json={"viewer_id": "u2"}, headers=headers_of("u1", issuer)
    )

    assert reply.status_code == 403


def test_nobody_evicts_another_viewer(closed: Service, issuer: Issuer) -> None:
    """A viewer may remove themselves only."""
    reply = httpx2.delete(f"{closed.url}/v1/courses/c1/viewers/u2", headers=headers_of("u1", issuer))

    assert reply.status_code == 403


def test_one_foreign_course_in_a_list_is_enough_for_403(closed: Service, issuer: Issuer) -> None:
    """A list of courses opens only when each of them does."""
    headers = headers_of("u1", issuer)

    own = httpx2.get(f"{closed.url}/v1/counts?course_id=c1&course_id=c2", headers=headers)
    mixed = httpx2.get(f"{closed.url}/v1/counts?course_id=c1&course_id=c3", headers=headers)

    assert (own.status_code, mixed.status_code) == (200, 403)


@pytest.mark.parametrize("scheme", ["Basic", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_is_bearer_in_any_case(closed: Service, issuer: Issuer, scheme: str) -> None:
    """RFC 9110: schemes have no case; other schemes are refused."""
    headers = {"Authorization": f"{scheme} {issuer.token('u1', courses='*')}"}

    status = httpx2.get(f"{closed.url}/v1/courses/c1/count", headers=headers).status_code

    assert status == (401 if scheme == "Basic" else 200)


def test_in_trusted_mode_everybody_is_a_service() -> None:
    """AUTH=trusted: the gateway in front decides, the table does not."""
    everything = frozenset(Action)

    assert rights(Settings()) == dict.fromkeys(Role, everything)
    assert rights(Settings(auth="trusted")) == dict.fromkeys(Role, everything)


def test_a_creator_looks_at_their_courses_only() -> None:
    """History is for the creator of that course and for services, an export for services alone."""
    permissions = Permissions(Settings(auth="jwt", jwt_secret="x" * 32))
    own = Caller(Role.VIEWER, subject="u1", courses=" c2 ", owned=" c1 ")
    any_course = Caller(Role.VIEWER, subject="u1", courses="", owned=None)
    by_key = Caller(Role.CREATOR, courses=" c1 ")

    def may(caller: Caller, action: Action, course: str = "") -> bool:
        return permissions.refusal(caller, action, course) is None

    assert [may(own, Action.HISTORY, course) for course in ("c1", "c2", "c")] == [True, False, False]
    assert [may(own, Action.VIEWERS, course) for course in ("c1", "c2", "c3")] == [True, True, False]
    assert may(any_course, Action.HISTORY, "c7")
    assert not may(any_course, Action.EVICT, "c7")
    assert [may(by_key, Action.HISTORY, course) for course in ("c1", "c2")] == [True, False]
    assert [may(by_key, action) for action in (Action.EXPORT, Action.STATS, Action.BATCH)] == [False] * 3
    assert may(SERVICE, Action.HISTORY, "c1")
    assert may(SERVICE, Action.EXPORT)
