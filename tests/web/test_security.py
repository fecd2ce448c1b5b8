"""Identity at work: leave tokens, anonymous viewers, pseudonyms, expiring streams, CORS and logs."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from presence_svc.logs import JsonLines, clean
from tests.auth.issuer import Issuer, bearer
from tests.conftest import SpawnService
from tests.rig import Service

KEY = "a-service-key-for-security"
SESSION = "session-0123456789abcdef"
ORIGIN = "https://player.example"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def service(issuer: Issuer) -> Iterator[Service]:
    """Anonymous viewers, pseudonyms, one origin, a full access log."""
    env = {
        "PRESENCE_SERVICE_KEYS": KEY,
        "PRESENCE_ALLOW_ANONYMOUS": "true",
        "PRESENCE_PSEUDONYMS": "true",
        "PRESENCE_CORS_ORIGINS": ORIGIN,
        "PRESENCE_ACCESS_LOG": "1",
        "PRESENCE_ADDRESS_BURST": "10000",
    }
    with Service(issuer.env | env) as running:
        yield running


@pytest.fixture
def http(service: Service) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service.url, timeout=5) as client:
        yield client


def beat(http: httpx2.Client, course: str, token: str | None, **said: Any) -> httpx2.Response:
    headers = bearer(token) if token else {}
    return http.post(f"/v1/courses/{course}/heartbeat", json=said, headers=headers)


def count(http: httpx2.Client, course: str) -> dict[str, Any]:
    counted: dict[str, Any] = http.get(f"/v1/courses/{course}/count", headers=bearer(KEY)).json()
    return counted


def roster(http: httpx2.Client, course: str, token: str) -> list[dict[str, Any]]:
    reply = http.get(f"/v1/courses/{course}/viewers", headers=bearer(token))
    viewers: list[dict[str, Any]] = reply.json()["viewers"]
    return viewers


# Who one is.


def test_the_token_says_who_it_is_and_under_which_name(http: httpx2.Client, issuer: Issuer) -> None:
    """`sub`, name and picture come from the token; what the body makes up is not shown."""
    token = issuer.token("ada", name="Ada", picture="https://x.example/a.png")
    reply = beat(http, "names", token, name="Root", avatar_url="https://evil.example/a.png")
    beat(http, "names", issuer.token("bob"), name="Root")

    shown = {viewer["viewer_id"]: viewer for viewer in roster(http, "names", KEY)}

    assert reply.json()["viewer_id"] == "ada"
    assert (shown["ada"]["name"], shown["ada"]["avatar_url"]) == ("Ada", "https://x.example/a.png")
    assert shown["bob"]["name"] is None


def test_a_service_may_name_anybody(http: httpx2.Client) -> None:
    """An API key speaks for the viewer that the body names, and must name one."""
    assert beat(http, "svc", KEY, viewer_id="u7").json()["viewer_id"] == "u7"
    assert beat(http, "svc", KEY).status_code == 422


def test_a_viewer_may_always_ask_to_be_anonymous(http: httpx2.Client, issuer: Issuer) -> None:
    """S7: counted, never named, with a token too."""
    beat(http, "shy", issuer.token("ada", name="Ada"), anonymous=True)

    counted = count(http, "shy")

    assert (counted["total"], counted["named"], counted["anonymous"]) == (1, 0, 1)
    assert roster(http, "shy", KEY) == []


# Leave tokens.


def leave(http: httpx2.Client, course: str, content: dict[str, Any], **headers: str) -> int:
    """As a beacon sends it."""
    return http.post(
        f"/v1/courses/{course}/leave",
        content=json.dumps(content),
        headers={"content-type": "text/plain;charset=UTF-8", **headers},
    ).status_code


def test_a_beacon_leaves_with_its_leave_token(http: httpx2.Client, issuer: Issuer) -> None:
    """S5: no header, only the token of the last reply; the session is gone at once."""
    reply = beat(http, "beacon", issuer.token("ada"), session_id="s1").json()

    said = {"viewer_id": "ada", "session_id": "s1", "leave_token": reply["leave_token"]}

    assert leave(http, "beacon", said) == 204
    assert count(http, "beacon")["total"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"viewer_id": "bob"},
        {"session_id": "s2"},
        {"leave_token": "0" * 32},
        {"leave_token": ""},
        {"leave_token": "é"},
    ],
)
def test_a_leave_token_ends_its_session_and_no_other(
    http: httpx2.Client, issuer: Issuer, change: dict[str, str]
) -> None:
    """Another viewer, session or token: 401, and everybody stays."""
    reply = beat(http, "others", issuer.token("ada"), session_id="s1").json()
    beat(http, "others", issuer.token("ada"), session_id="s2")
    beat(http, "others", issuer.token("bob"), session_id="s1")
    said = {"viewer_id": "ada", "session_id": "s1", "leave_token": reply["leave_token"]}

    assert leave(http, "others", said | change) == 401
    assert count(http, "others")["total"] == 2


VISITOR = {"viewer_id": "made-up", "session_id": "0123456789abcdef", "anonymous": True, "seq": 2}


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("is_late", [False, True], ids=["leave-last", "heartbeat-last"])
def test_a_visitor_goes_before_the_first_answer(
    http: httpx2.Client, issuer: Issuer, soft: bool, is_late: bool
) -> None:
    """S5, S6, S7: no leave token yet; the session id alone ends the session, whichever comes first."""
    course = f"hasty.{soft}.{is_late}"
    said = {"viewer_id": "made-up", "session_id": "0123456789abcdef", "anonymous": True, "seq": 1}
    if is_late:
        assert leave(http, course, VISITOR | {"soft": soft}) == 204
    assert beat(http, course, None, **said).status_code == 200
    if not is_late:
        assert count(http, course)["total"] == 1
        assert leave(http, course, VISITOR | {"soft": soft}) == 204

    wait_for_nobody(http, course, 4.5 if soft else 0)


def wait_for_nobody(http: httpx2.Client, course: str, patience_s: float) -> None:
    """A soft leave is a leave after a grace of three seconds."""
    deadline = time.monotonic() + patience_s
    while count(http, course)["total"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert count(http, course)["total"] == 0


@pytest.mark.parametrize(
    "change",
    [{"session_id": "fedcba9876543210"}, {"session_id": "0123"}, {"anonymous": False}],
    ids=["another session", "a short one", "named"],
)
def test_a_leave_without_a_token_ends_nobody_else(
    http: httpx2.Client, issuer: Issuer, change: dict[str, object]
) -> None:
    """The visitor and a viewer of the same session id stay: only its own anonymous one can go so."""
    course = f"stays.{len(change)}.{next(iter(change.values()))}"
    beat(http, course, None, session_id="0123456789abcdef")
    beat(http, course, issuer.token("made-up"), session_id="fedcba9876543210")

    assert leave(http, course, VISITOR | change) in (204, 401)
    assert count(http, course)["total"] == 2


def test_a_leave_token_is_for_one_course_and_one_verb(http: httpx2.Client, issuer: Issuer) -> None:
    """It opens neither another course nor, as a bearer token, anything at all."""
    reply = beat(http, "home", issuer.token("ada")).json()
    beat(http, "away", issuer.token("ada"))
    said = {"viewer_id": "ada", "leave_token": reply["leave_token"]}

    assert leave(http, "away", said) == 401
    assert beat(http, "home", reply["leave_token"]).status_code == 401
    assert count(http, "away")["total"] == 1


def test_a_leave_with_a_token_needs_no_leave_token(http: httpx2.Client, issuer: Issuer) -> None:
    """The viewer's own bearer token, or a service's key for anybody."""
    for header in (issuer.token("ada"), KEY):
        beat(http, "bearer", issuer.token("ada"))

        assert leave(http, "bearer", {"viewer_id": "ada"}, **bearer(header)) == 204
        assert count(http, "bearer")["total"] == 0


# Anonymous viewers.


def test_an_anonymous_id_is_made_by_the_server_and_bound_to_the_session(http: httpx2.Client) -> None:
    """The same for the same session, so no lost reply leaves a ghost; another for each session and course."""
    first, again = (beat(http, "anon", None, session_id=SESSION).json() for _ in range(2))
    echoed = beat(http, "anon", None, session_id=SESSION, viewer_id=first["viewer_id"]).json()
    other = beat(http, "anon", None, session_id=SESSION + "x").json()
    elsewhere = beat(http, "anon2", None, session_id=SESSION).json()

    ids = {reply["viewer_id"] for reply in (first, other, elsewhere)}
    assert first["viewer_id"] == again["viewer_id"] == echoed["viewer_id"]
    assert len(ids) == 3
    assert count(http, "anon")["anonymous"] == 2


def test_nobody_is_somebody_without_a_token(http: httpx2.Client, issuer: Issuer) -> None:
    """A name without a token is 401; asking to be anonymous, as the badge does, gives an id of ours."""
    beat(http, "claim", issuer.token("ada", name="Ada"))

    named = beat(http, "claim", None, viewer_id="ada", session_id=SESSION)
    shy = beat(http, "claim", None, viewer_id="ada", session_id=SESSION, anonymous=True, name="Root")

    assert named.status_code == 401
    assert shy.json()["viewer_id"].startswith("anon~")
    assert [viewer["viewer_id"] for viewer in roster(http, "claim", KEY)] == ["ada"]


def test_somebody_elses_anonymous_id_cannot_be_taken(http: httpx2.Client) -> None:
    """Its session is what proves it: with another session one gets another id, whatever the body says."""
    victim = beat(http, "theft", None, session_id=SESSION).json()["viewer_id"]

    thief = beat(http, "theft", None, session_id=SESSION[::-1], viewer_id=victim)

    assert thief.json()["viewer_id"] != victim
    assert leave(http, "theft", {"viewer_id": victim, "session_id": SESSION}) == 401


@pytest.mark.parametrize("session", [{}, {"session_id": "main"}, {"session_id": "x" * 15}])
def test_an_anonymous_session_must_not_be_guessable(http: httpx2.Client, session: dict[str, str]) -> None:
    """A session id that others have too would be their viewer too: 422 says which field is wrong."""
    reply = beat(http, "guess", None, **session)

    assert reply.status_code == 422
    assert reply.json()["errors"][0]["pointer"] == "/session_id"


# Pseudonyms.


def test_viewers_see_each_other_under_pseudonyms(http: httpx2.Client, issuer: Issuer) -> None:
    """The same person is somebody else in each course; services see who it is; streams show pseudonyms."""
    ada, bob = issuer.token("ada", name="Ada"), issuer.token("bob")
    for course in ("p1", "p2"):
        beat(http, course, ada)
    first, second = roster(http, "p1", bob)[0], roster(http, "p2", bob)[0]

    with http.stream("GET", "/v1/courses/p1/live?viewers=5", headers=bearer(bob)) as stream:
        frame = next(line for line in stream.iter_lines() if "viewers" in line and line.startswith("data"))

    streamed = json.loads(frame.removeprefix("data: "))["viewers"][0]["viewer_id"]
    assert first["name"] == second["name"] == "Ada"
    assert len({first["viewer_id"], second["viewer_id"], "ada"}) == 3
    assert streamed == first["viewer_id"]
    assert roster(http, "p1", KEY)[0]["viewer_id"] == "ada"


# Streams and their tokens.


@pytest.mark.parametrize("path", ["/v1/courses/exp/live", "/v1/live?course_id=exp"])
def test_a_stream_ends_when_its_token_does(http: httpx2.Client, issuer: Issuer, path: str) -> None:
    """H6: `event: reauth` and a clean end, within 5 s of the token's; a heartbeat then gets 401."""
    token = issuer.token("ada", exp=time.time() + 2)
    began = time.monotonic()

    with http.stream("GET", path, headers=bearer(token)) as stream:
        text = "".join(stream.iter_text())
        assert stream.headers["connection"] == "close"  # else the next request might be sent on it
    took_s = time.monotonic() - began

    assert "event: reauth\nretry: " in text
    assert text.rstrip().endswith("data: {}")
    assert 1 < took_s < 7
    expired = issuer.token("ada", exp=time.time() - 6)
    assert beat(http, "exp", expired).status_code == 401


# What browsers are told.


def test_only_the_listed_origin_is_let_in(http: httpx2.Client, issuer: Issuer) -> None:
    """CORS by exact origin, never credentials, `Vary: Origin` for both, on every lane and on errors."""
    for origin, allowed in (
        (ORIGIN, ORIGIN),
        ("https://evil.example", None),
        (ORIGIN + ".evil.example", None),
    ):
        replies = [
            http.get("/v1/courses/c/count", headers={"Origin": origin, **bearer(KEY)}),
            http.get("/v1/courses/c/count", headers={"Origin": origin}),
            http.post(
                "/v1/courses/c/heartbeat", json={}, headers={"Origin": origin, **bearer(issuer.token())}
            ),
        ]
        for reply in replies:
            assert reply.headers.get("access-control-allow-origin") == allowed
            assert "Origin" in reply.headers["vary"]
            assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize(("origin", "status"), [(ORIGIN, 200), ("https://evil.example", 400)])
def test_a_preflight_is_answered_by_origin(http: httpx2.Client, origin: str, status: int) -> None:
    """A page of another origin may not send our headers."""
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }

    reply = http.options("/v1/courses/c/heartbeat", headers=asked)

    assert reply.status_code == status
    assert ("access-control-allow-origin" in reply.headers) == (status == 200)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://[", "http://a]b", "evil://{host}", ORIGIN.upper()]
)
def test_a_foreign_page_writes_nothing(http: httpx2.Client, issuer: Issuer, origin: str) -> None:
    """H10: a POST without our headers asks nobody first, so that the service must look: 403, no matter how.

    Neither by a body without a type (as browsers send a Blob), nor by a beacon, with or without credentials.
    """
    origin = origin.format(host=http.base_url.netloc.decode())
    said = json.dumps({"session_id": SESSION, "viewer_id": "ada", "heartbeats": []})
    asked = [
        http.build_request("POST", f"/v1/courses/forged/{route}", content=said, headers=headers)
        for route in ("heartbeat", "leave")
        for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/json"}, bearer(KEY))
    ]
    asked.append(http.build_request("POST", "/v1/heartbeats", content=said, headers=bearer(KEY)))
    asked.append(
        http.build_request("DELETE", "/v1/courses/forged/viewers/ada", headers=bearer(issuer.token("ada")))
    )
    for request in asked:
        request.headers["Origin"] = origin
        request.headers["Sec-Fetch-Site"] = "cross-site"
        for _ in range(2):  # the second finds the lane as the first has left it
            reply = http.send(request)
            assert (reply.status_code, reply.json()["title"]) == (403, "Forbidden")
            assert "access-control-allow-origin" not in reply.headers

    assert count(http, "forged")["total"] == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://{host}"},
        {"Origin": "https://behind-a-proxy.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_programs_and_our_own_pages_write(
    http: httpx2.Client, issuer: Issuer, headers: dict[str, str]
) -> None:
    """H10: no origin, a listed one, our own host, or what the browser says is one host."""
    headers = {name: value.format(host=http.base_url.netloc.decode()) for name, value in headers.items()}
    for _ in range(2):
        reply = http.post("/v1/courses/own/heartbeat", json={}, headers={**headers, **bearer(issuer.token())})
        assert reply.status_code == 200


def test_by_default_a_service_with_tokens_lets_no_origin_in(
    spawn_service: SpawnService, issuer: Issuer
) -> None:
    """CORS_ORIGINS follows AUTH: none with jwt, any in trusted mode."""
    jwt, trusted = spawn_service(issuer.env), spawn_service({})

    seen = [
        httpx2.get(f"{url}/v1/courses/c/count", headers={"Origin": ORIGIN}).headers.get(
            "access-control-allow-origin"
        )
        for url in (jwt.url, trusted.url)
    ]

    assert seen == [None, "*"]


def test_personal_data_is_never_stored_nor_sniffed(http: httpx2.Client, issuer: Issuer) -> None:
    """H11: no-store (private for lists of counts) and nosniff on everything about people, errors too."""
    headers = bearer(issuer.token("ada"))
    replies = [
        http.get("/v1/courses/c/viewers", headers=headers),
        http.get("/v1/courses/c/count", headers=headers),
        http.get("/v1/counts?course_id=c", headers=headers),
        http.post("/v1/courses/c/heartbeat", json={}, headers=headers),
        http.get("/v1/courses/c/viewers"),
    ]

    for reply in replies:
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] in ("no-store", "private, no-cache")


def test_pages_run_no_foreign_script_and_stay_in_their_frame(http: httpx2.Client) -> None:
    """CSP without inline script, nosniff, no referrer, frames of our own only."""
    for page in ("/demo", "/dashboard", "/docs"):
        headers = http.get(page).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))

        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["frame-ancestors"] == "'self'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "SAMEORIGIN"


# Logs.


def test_logs_are_json_lines_without_tokens_and_addresses(
    http: httpx2.Client, service: Service, issuer: Issuer
) -> None:
    """H13: an id with a line break cannot begin a line; no token, key or address is written."""
    token = issuer.token("ada")
    beat(http, "logged", token)
    http.get("/v1/courses/a%0A%7B%22level%22:%22error%22%7D/count", headers=bearer(token))
    http.get("/v1/courses/logged/count", headers=bearer(KEY))

    lines = [line for line in service.logs().splitlines() if line.startswith("{")]
    requests = [entry for entry in map(json.loads, lines) if entry["event"] == "request"]

    assert any(entry["path"].startswith("/v1/courses/a\n{") for entry in requests)
    assert all({"time", "level", "logger", "status", "ms"} <= entry.keys() for entry in requests)
    for secret in (token, token.split(".")[2], KEY, '127.0.0.1"', "address"):
        assert secret not in "\n".join(lines)


def test_the_formatter_strikes_secrets_out_whoever_logs_them() -> None:
    """A token in a message, a password in an address, a traceback with both: one line without them."""
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl"
    try:
        raise ValueError(f"redis://user:hunter2@host refused Bearer {token}")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "got %s\nand\ud800 more", (token,), info)
    record.fields = {"url": "redis://user:hunter2@host", "n": 7}

    line = JsonLines().format(record)

    assert "\n" not in line
    assert "hunter2" not in line
    assert "eyJ" not in line
    assert json.loads(line)["n"] == 7


@pytest.mark.parametrize("end", ["\n", "\r", "\x1b[2J", "\x7f", "\x85", "\x9b2J", "\u2028", "\u2029"])
def test_a_line_of_the_log_has_one_end(end: str) -> None:
    """H13: nothing that a reader takes for a line's end, or a terminal for a command, is left as it came."""
    record = logging.LogRecord("x", logging.INFO, "f", 1, "got %s", (end + "more",), None)
    record.fields = {"path": end}

    line = JsonLines().format(record)

    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["event"] == f"got {end}more"


TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "text", [f"/x_{TOKEN}", f"/{TOKEN}/{TOKEN}", "/" + "a" * 290 + TOKEN, TOKEN[:30], f"/_{TOKEN[:20]}"]
)
def test_no_part_of_a_token_is_logged(text: str) -> None:
    """H13: wherever it stands, and also where a path is cut in its middle."""
    cut = clean(text, 300)

    assert len(cut) <= 300
    assert "eyJ" not in cut
    assert "c2ln" not in cut


def test_a_long_path_keeps_no_part_of_a_token(http: httpx2.Client, service: Service) -> None:
    """H13: the access log cuts what it has struck out, not the other way round."""
    said = len(service.logs())
    path = "/nope/" + "a" * 283
    http.get(f"{path}/{TOKEN}")

    logged = service.logs()[said:]

    assert path in logged
    assert "eyJ" not in logged
