"""WebSockets on real uvicorns: presence without heartbeats, moves, leaves, refusals, the end of replicas."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

import httpx2
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from presence_svc.metrics import Metrics
from presence_svc.settings import load
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.web.ws.socket import ABORT, Gone, Socket
from tests.auth.issuer import Issuer, bearer
from tests.live.eventually import eventually
from tests.rig import Service
from tests.web.conftest import FAST
from tests.web.socket_client import SocketClient

LASTING_S = 2.0  # well over PRESENCE_TTL
KEY = "a-service-key-of-the-socket-tests"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def guarded(server: EmbeddedServer, issuer: Issuer) -> Iterator[Service]:
    """A service that asks for tokens, and lets anonymous viewers in."""
    env = {
        "PRESENCE_REDIS_URL": server.url,
        "PRESENCE_KEY_PREFIX": "guarded",
        "PRESENCE_SERVICE_KEYS": KEY,
        "PRESENCE_JWT_COURSES_CLAIM": "courses",
        "PRESENCE_ALLOW_ANONYMOUS": "true",
        "PRESENCE_JWT_LEEWAY": "0",
        "PRESENCE_CORS_ORIGINS": "https://school.example",
    }
    with Service(issuer.env | env | FAST) as service:
        yield service


async def call(service: Service, method: str, path: str, **more: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=service.url, timeout=10) as client:
        return await client.request(method, path, **more)


async def count(service: Service, course: str) -> dict[str, Any]:
    found: dict[str, Any] = (await call(service, "GET", f"/v1/courses/{course}/count")).json()
    return found


async def test_a_join_is_answered_and_counted(one: Service) -> None:
    """Contract, section 5: `joined` with what a heartbeat's reply has, then `count`; a name in the roster."""
    said: dict[str, Any] = {"viewer_id": "ada", "name": "Ada", "chapter_id": "ch-1", "session_id": "tab-1"}
    async with SocketClient(one, "join", **said) as ada:
        told = await ada.until("count", total=1)
        roster = (await call(one, "GET", "/v1/courses/join/viewers")).json()

    assert ada.joined["type"] == "joined"
    assert {
        "viewer_id": "ada",
        "session_id": "tab-1",
        "course_id": "join",
        "total": 1,
    }.items() <= ada.joined.items()
    assert {"expires_at", "next_heartbeat_ms", "leave_token"} <= set(ada.joined)
    assert (told["chapters"], told["course_id"], told["warming"]) == ({"ch-1": 1}, "join", told["warming"])
    assert [(v["viewer_id"], v["name"], v["chapters"]) for v in roster["viewers"]] == [
        ("ada", "Ada", ["ch-1"])
    ]


async def test_an_open_socket_needs_no_heartbeats(one: Service) -> None:
    """The replica renews the lease: several leases later the viewer is there, and nothing said otherwise."""
    async with SocketClient(one, "lasting", viewer_id="ada", chapter_id="ch-1") as ada:
        await ada.until("count", total=1)
        for _ in range(10):
            await asyncio.sleep(LASTING_S / 10)
            assert (await count(one, "lasting"))["total"] == 1
        told = [message["total"] for message in ada.told if message["type"] == "count"]

    assert told == [1]


async def test_changes_are_told_across_replicas(one: Service, other: Service) -> None:
    """S10: join, move, leave at one replica; the socket hangs on another."""
    async with (
        SocketClient(one, "across", viewer_id="ada") as ada,
        SocketClient(other, "across", viewer_id="bob") as bob,
    ):
        await ada.until("count", total=2)
        await bob.say("chapter", chapter_id="ch-2")
        await ada.until("count", chapters={"ch-2": 1})
        await bob.say("chapter", chapter_id=None)
        await ada.until("count", chapters={})
        await bob.say("leave")

        assert await bob.closed() == 1000
        await ada.until("count", total=1)


async def test_a_move_is_what_is_renewed(one: Service) -> None:
    """S2: after the next renewals the viewer is where they went, and only there."""
    async with SocketClient(one, "moved", viewer_id="ada", chapter_id="ch-1") as ada:
        await ada.say("chapter", chapter_id="ch-2")
        await ada.until("count", chapters={"ch-2": 1})
        await asyncio.sleep(LASTING_S)

        assert (await count(one, "moved"))["chapters"] == {"ch-2": 1}


async def test_a_hidden_tab_has_the_longer_lease(one: Service) -> None:
    """S3: `hidden` lengthens the lease at once."""
    async with SocketClient(one, "hidden", viewer_id="ada") as ada:
        await ada.say("hidden", hidden=True)

        async def lease() -> bool:
            viewers = (await call(one, "GET", "/v1/courses/hidden/viewers")).json()["viewers"]
            return bool(viewers[0]["expires_at"] - (await count(one, "hidden"))["as_of"] > 1_500)

        await eventually("the longer lease", lease)


async def test_names_are_told_to_those_who_want_them(one: Service) -> None:
    """`viewers` in the join or, as for a stream, in the query; a wrong one gets no handshake."""
    async with SocketClient(one, "names", viewer_id="ada", name="Ada", viewers=5) as ada:
        told = await ada.until("viewers", total=1)
    async with SocketClient(one, "names", query="?viewers=1", viewer_id="bob", name="Bob") as bob:
        told_bob = await bob.until("viewers")
    with pytest.raises(InvalidStatus) as refused:
        await SocketClient(one, "names", query="?viewers=21").__aenter__()

    assert [viewer["name"] for viewer in told["viewers"]] == ["Ada"]
    assert len(told_bob["viewers"]) == 1
    assert refused.value.response.status_code == 422


async def test_a_closed_socket_is_a_soft_leave(one: Service, other: Service) -> None:
    """S5: still there within the grace (a reload), gone after it, long before the lease's end."""
    async with (
        SocketClient(one, "closed", viewer_id="ada"),
        SocketClient(other, "closed", viewer_id="bob") as bob,
    ):
        await bob.until("count", total=2)
    now = (await count(one, "closed"))["total"]
    await eventually("gone after the grace", lambda: _is_total(one, "closed", 0), within_s=1.0)

    assert now == 2


async def _is_total(service: Service, course: str, total: int) -> bool:
    return bool((await count(service, course)).get("total") == total)


async def test_whoever_comes_back_within_the_grace_causes_no_change(one: Service, other: Service) -> None:
    """S5, S6: the old socket's leave, also when it comes after the new one's join, takes nobody out."""
    async with SocketClient(one, "back", viewer_id="eve") as eve:
        for visit in range(6):
            service = (one, other)[visit % 2]
            ada = await SocketClient(service, "back", viewer_id="ada", session_id="tab").__aenter__()
            await asyncio.sleep(0.05)
            again = await SocketClient(other, "back", viewer_id="ada", session_id="tab").__aenter__()
            await ada.socket.close()  # late: the new one is there already
            await asyncio.sleep(0.4)
            assert (await count(one, "back"))["total"] == 2
            await again.socket.close()
        await asyncio.sleep(0.1)
        told: list[dict[str, Any]] = []
        while not told or told[-1]["total"] != 2:
            told.append(await eve.until("count"))

    assert [message["total"] for message in told if message["total"] != 1] == [2]


@pytest.mark.parametrize("said", [{}, {"session_id": None}])
async def test_sessions_are_apart_unless_they_say_otherwise(one: Service, said: dict[str, Any]) -> None:
    """S1, S5: two sockets of a viewer are two tabs: one viewer, until both are closed."""
    async with SocketClient(one, "tabs", viewer_id="ada", **said) as first:
        async with SocketClient(one, "tabs", viewer_id="ada", **said) as second:
            assert (await count(one, "tabs"))["total"] == 1
        await asyncio.sleep(0.6)

        assert (await count(one, "tabs"))["total"] == 1
        assert first.joined["session_id"] != second.joined["session_id"]


async def test_a_leave_is_final_but_a_new_join_is_a_new_visit(one: Service) -> None:
    """S6: a late heartbeat revives nobody; the same person may come again, also as the same session."""
    async with SocketClient(one, "final", viewer_id="ada", session_id="tab") as ada:
        await ada.say("leave")
        await ada.closed()
    late = {"viewer_id": "ada", "session_id": "tab", "seq": 1}
    await call(one, "POST", "/v1/courses/final/heartbeat", json=late)
    after = (await count(one, "final"))["total"]
    async with SocketClient(one, "final", viewer_id="ada", session_id="tab") as ada:
        await call(one, "POST", "/v1/courses/final/heartbeat", json=late | {"chapter_id": "ch-9"})
        again = await count(one, "final")

    assert (after, again["total"], again["chapters"]) == (0, 1, {})


async def test_the_evicted_are_told(one: Service) -> None:
    """An eviction acts at once, and the socket does not bring the viewer back."""
    async with SocketClient(one, "evicted", viewer_id="ada") as ada:
        await call(one, "DELETE", "/v1/courses/evicted/viewers/ada")
        now = (await count(one, "evicted"))["total"]
        await ada.until("left")

        assert await ada.closed() == 1000
    assert (now, (await count(one, "evicted"))["total"]) == (0, 0)


@pytest.mark.parametrize(
    ("first", "code", "pointer"),
    [
        ({"type": "chapter", "chapter_id": "x"}, 4422, "/type"),
        ({"type": "join", "viewer_id": "no blanks"}, 4422, "/viewer_id"),
        ({"type": "join"}, 4422, "/viewer_id"),
        ({"type": "join", "viewer_id": "ada", "viewers": 21}, 4422, "/viewers"),
        ({"type": "join", "viewer_id": "ada", "avatar_url": "http://a.example/a"}, 4422, "/avatar_url"),
        (["join"], 4422, ""),
        ("{", 4400, None),
        (b"{}", 4415, None),
        ("x" * 9_000, 4413, None),
    ],
    ids=str,
)
async def test_a_wrong_join_is_told_why(one: Service, first: Any, code: int, pointer: str | None) -> None:
    """A problem as elsewhere, its field named, and a closing code that says its status; nobody is counted."""
    async with SocketClient(one, "wrong", joins=False) as client:
        await client.socket.send(first if isinstance(first, str | bytes) else orjson.dumps(first).decode())
        assert await client.closed() == code
    (told,) = client.told

    assert (told["type"], told["status"]) == ("error", code - 4000)
    assert told["problem"].startswith("urn:presence:")
    assert pointer is None or [error["pointer"] for error in told["errors"]] == [pointer]
    assert (await count(one, "wrong"))["total"] == 0


async def test_a_wrong_message_does_not_end_a_visit(one: Service) -> None:
    """What is wrong is told, and changes nothing."""
    async with SocketClient(one, "clumsy", viewer_id="ada", chapter_id="ch-1") as ada:
        for kind, fields in (
            ("chapter", {"chapter_id": "{}"}),
            ("hidden", {}),
            ("chapter", {}),
            ("dance", {}),
        ):
            await ada.say(kind, **fields)
            assert (await ada.until("error"))["status"] == 422
        await ada.socket.send("no json")
        assert (await ada.until("error"))["status"] == 400

        assert (await count(one, "clumsy"))["chapters"] == {"ch-1": 1}


async def test_limits_are_told(server: EmbeddedServer) -> None:
    """Sessions per viewer, streams per replica, and a join that does not come."""
    limits = {"SESSIONS_PER_VIEWER": "1", "STREAMS_LIMIT": "2", "REQUEST_DEADLINE": "0.5"}
    env = {f"PRESENCE_{name}": value for name, value in limits.items()}
    with Service({"PRESENCE_REDIS_URL": server.url, "PRESENCE_KEY_PREFIX": "limits"} | env) as service:
        async with SocketClient(service, "c1", viewer_id="ada"):
            async with SocketClient(service, "c1", viewer_id="ada") as second:
                assert await second.closed() == 4429
            async with SocketClient(service, "c1", joins=False) as silent:
                with pytest.raises(InvalidStatus) as refused:
                    await SocketClient(service, "c1", viewer_id="bob").__aenter__()
                assert await silent.closed() == 4408

    assert (second.joined["type"], second.joined["status"]) == ("error", 429)
    assert second.joined["retry_after_ms"] > 0
    assert refused.value.response.status_code == 429


async def test_streams_per_viewer_and_address(server: EmbeddedServer, issuer: Issuer) -> None:
    """H7: a viewer's sockets count as their streams, whoever has not joined as their address's; both end."""
    limits = {"STREAMS_PER_VIEWER": "1", "STREAMS_PER_ADDRESS": "1", "KEY_PREFIX": "places"}
    env = {f"PRESENCE_{name}": value for name, value in limits.items()}
    with Service(issuer.env | env | {"PRESENCE_REDIS_URL": server.url}) as service:
        ada: dict[str, Any] = {"token": issuer.token("ada")}
        bob: dict[str, Any] = {"token": issuer.token("bob")}
        async with SocketClient(service, "c1", **ada), SocketClient(service, "c1", **bob) as other:
            async with SocketClient(service, "c1", **ada) as second:
                assert await second.closed() == 4429
            async with SocketClient(service, "c1", joins=False):
                with pytest.raises(InvalidStatus) as refused:
                    await SocketClient(service, "c1", **ada).__aenter__()
                signed = {"authorization": f"Bearer {issuer.token('eve')}"}
                async with SocketClient(service, "c1", headers=signed) as eve:
                    assert eve.joined["type"] == "joined"  # not held up by silent ones behind her address

        async def has_room() -> bool:
            async with SocketClient(service, "c1", **ada) as again:
                return bool(again.joined["type"] == "joined")

        await eventually("room again", has_room)

    assert other.joined["type"] == "joined"
    assert refused.value.response.status_code == 429


async def test_sockets_at_the_door_and_streams_are_one_count(spawn_service: Any) -> None:
    """STREAMS_LIMIT holds for both together, also before a join; and what has ended leaves room."""
    service = spawn_service({"PRESENCE_STREAMS_LIMIT": "2"})
    async with (
        SocketClient(service, "c1", joins=False),
        httpx2.AsyncClient(base_url=service.url, timeout=10) as client,
    ):
        async with client.stream("GET", "/v1/courses/c1/live") as stream:
            refused = await call(service, "GET", "/v1/courses/c1/live")
            with pytest.raises(InvalidStatus) as refused_socket:
                await SocketClient(service, "c1", viewer_id="ada").__aenter__()

        async def has_room() -> bool:
            try:
                async with SocketClient(service, "c1", viewer_id="ada") as again:
                    return bool(again.joined["type"] == "joined")
            except InvalidStatus:
                return False

        await eventually("room again", has_room)

    assert (stream.status_code, refused.status_code) == (200, 429)
    assert refused_socket.value.response.status_code == 429


async def test_redis_away_at_the_join(own_server: EmbeddedServer, spawn_service: Any) -> None:
    """503, told; who is there already stays through a short absence."""
    service = spawn_service(
        {"PRESENCE_REDIS_URL": own_server.url, **FAST, "PRESENCE_TTL": "5", "PRESENCE_HIDDEN_TTL": "5"}
    )
    async with SocketClient(service, "c1", viewer_id="ada") as ada:
        await ada.until("count", total=1)
        own_server.stop()
        async with SocketClient(service, "c1", viewer_id="bob") as bob:
            assert await bob.closed() == 4503
        own_server.start()
        await eventually("ada is renewed", lambda: _is_total(service, "c1", 1), within_s=5)

    assert bob.joined["status"] == 503


async def test_shutdown_says_bye_and_takes_nobody_out(own_server: EmbeddedServer, spawn_service: Any) -> None:
    """S10: a replica goes; its viewers come back elsewhere, and the number has not moved meanwhile."""
    one, other = (spawn_service({"PRESENCE_REDIS_URL": own_server.url}) for _ in range(2))
    async with (
        SocketClient(one, "c1", viewer_id="ada") as ada,
        SocketClient(other, "c1", viewer_id="bob") as bob,
    ):
        await bob.until("count", total=2)
        ending = asyncio.to_thread(one.terminate, signal.SIGTERM)
        ended = asyncio.ensure_future(ending)
        bye = await ada.until("bye")
        await ada.closed()
        assert await ended == 0
        async with SocketClient(other, "c1", viewer_id="ada"):
            await asyncio.sleep(0.5)
            now = await count(other, "c1")
        told = [message["total"] for message in bob.told if message["type"] == "count"]

    assert bye["retry_ms"] > 0
    assert (now["total"], told[-1]) == (2, 2)


async def test_a_killed_replicas_viewers_lapse(own_server: EmbeddedServer, spawn_service: Any) -> None:
    """S9, S10: kill -9 says no goodbye: the lease ends, and that is told."""
    one, other = (spawn_service({"PRESENCE_REDIS_URL": own_server.url, **FAST}) for _ in range(2))
    async with SocketClient(one, "c1", viewer_id="ada"), SocketClient(other, "c1", viewer_id="bob") as bob:
        await bob.until("count", total=2)
        await asyncio.to_thread(one.kill)
        await bob.until("count", total=1)


async def test_roles(guarded: Service, issuer: Issuer) -> None:
    """A token says who joins and where; it comes in the message or a header; another viewer is refused."""
    token = issuer.token("ada", courses=["roles"], name="Ada of the token")
    async with SocketClient(guarded, "roles", token=token, viewers=3, name="Somebody else") as ada:
        named = await ada.until("viewers")
    async with SocketClient(guarded, "roles", headers=bearer(token)) as by_header:
        assert by_header.joined["viewer_id"] == "ada"
    refused: dict[str, int | None] = {}
    wrong: dict[str, dict[str, Any]] = {
        "another": {"token": token, "viewer_id": "bob"},
        "forged": {"token": token[:-4] + "AAAA"},
        "nobody": {"session_id": "short"},
        "names": {"session_id": "0123456789abcdef", "viewers": 3},
    }
    for name, said in wrong.items():
        async with SocketClient(guarded, "roles", **said) as client:
            refused[name] = await client.closed()
    async with SocketClient(guarded, "elsewhere", token=token) as client:
        refused["elsewhere"] = await client.closed()
    async with SocketClient(guarded, "roles", token=KEY, viewer_id="eve") as service:
        assert service.joined["viewer_id"] == "eve"

    assert named["viewers"][0]["name"] == "Ada of the token"
    assert refused == {"another": 4403, "forged": 4401, "nobody": 4422, "names": 4401, "elsewhere": 4403}


async def test_an_anonymous_viewer_is_counted_and_sees_no_counts_unless_they_are_public(
    guarded: Service,
) -> None:
    """S7: present by a socket without a token; what nobody may read without one is not told."""
    async with SocketClient(guarded, "anon") as client:
        path = "/v1/courses/anon/count"
        found = (await call(guarded, "GET", path, headers={"authorization": f"Bearer {KEY}"})).json()

        assert client.joined["viewer_id"].startswith("anon~")
        assert (found["total"], found["anonymous"]) == (1, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.socket.recv(), 0.5)


async def test_a_socket_ends_with_its_token(guarded: Service, issuer: Issuer) -> None:
    """H6: `reauth`, 4401, and a soft leave: time to come back with a new token."""
    token = issuer.token("ada", courses=["short"], lasts_s=1.5)
    async with SocketClient(guarded, "short", token=token) as ada:
        await ada.until("reauth")
        assert await ada.closed() == 4401


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("https://school.example", 101),
        ("https://evil.example", 403),
        ("null", 403),
        ("https://school.example.evil.example", 403),
        ("http://[", 403),
        ("http://a]b", 403),
    ],
)
async def test_foreign_pages_may_not_connect(
    guarded: Service, issuer: Issuer, origin: str | None, status: int
) -> None:
    """H10: browsers let any page open a socket, so that the service must look; problem+json, as elsewhere."""
    client = SocketClient(guarded, "origin", origin=origin, token=issuer.token("ada", courses=["origin"]))
    if status == 101:
        async with client:
            assert client.joined["type"] == "joined"
        return
    with pytest.raises(InvalidStatus) as refused:
        await client.__aenter__()

    response = refused.value.response
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_page_of_our_own_may_connect(guarded: Service) -> None:
    """The demo's origin is the service's own host."""
    async with SocketClient(guarded, "own", origin=guarded.url) as client:
        assert client.joined["type"] == "joined"


async def test_by_plain_http_it_says_what_is_missing(one: Service) -> None:
    """426, and not a 404 that sends one looking for a typing error."""
    reply = await call(one, "GET", "/v1/courses/c1/ws")

    assert (reply.status_code, reply.json()["title"]) == (426, "Upgrade required")
    assert (reply.headers["upgrade"], reply.headers["connection"]) == ("websocket", "Upgrade")


@pytest.mark.parametrize(
    "path", ["/v1/courses/c1/wss", "/v1/live", "/", "/v1/courses/c1/ws/", "/v1/courses//ws"]
)
async def test_a_socket_elsewhere_is_not_found(one: Service, path: str) -> None:
    """404 as a problem: a 403 sends one looking for a wrong token or origin."""
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{one.port}{path}", open_timeout=10)

    response = refused.value.response
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert orjson.loads(bytes(response.body))["status"] == 404


async def test_nothing_of_a_socket_is_logged(guarded: Service, issuer: Issuer) -> None:
    """H13: neither addresses nor tokens; no error from all that was done here."""
    token = issuer.token("ada", courses=["log"])
    async with SocketClient(guarded, "log", token=token, query="?secret=1"):
        pass
    said = guarded.logs()

    assert token not in said
    assert "secret=1" not in said
    assert '"127.0.0.1' not in said
    assert "a visit failed" not in said


async def test_a_reader_that_takes_nothing_is_cut_off() -> None:
    """L3: a send ends at its deadline, and so does the connection, whatever of it has not gone out."""
    cut: list[int] = []

    async def stuck(message: Any) -> None:
        await asyncio.sleep(60)

    async def nothing() -> Any:
        await asyncio.sleep(60)

    scope = {"type": "websocket", "headers": [], "extensions": {ABORT: {"abort": lambda: cut.append(1)}}}
    socket = Socket(scope, nothing, stuck, load(send_deadline=0.05), Metrics())
    with pytest.raises(Gone):
        await socket.tell("count")

    assert cut == [1]


async def test_a_message_behind_our_own_close_is_told_to_nobody() -> None:
    """The visit has ended on one side while the other still reads: no bug, and none for the log."""

    async def closed(message: Any) -> None:
        raise RuntimeError("Unexpected ASGI message 'websocket.send', after sending 'websocket.close'.")

    async def nothing() -> Any:
        raise AssertionError

    with pytest.raises(Gone):
        await Socket({"type": "websocket", "headers": []}, nothing, closed, load(), Metrics()).tell("error")


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_a_client_that_answers_no_ping_is_gone(own_server: EmbeddedServer, spawn_service: Any) -> None:
    """A half-dead connection has no close: 40 s of silence end it, and its viewer leaves softly."""
    service = spawn_service({"PRESENCE_REDIS_URL": own_server.url})
    async with SocketClient(service, "c1", viewer_id="ada") as ada:
        await ada.until("count", total=1)
        ada.socket.transport.pause_reading()
        await eventually("ada is gone", lambda: _is_total(service, "c1", 0), within_s=60, every_s=1)
        ada.socket.transport.abort()
