"""Who a body and a token speak of: ids that no id can hold, and names cut in the middle of a sign."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from joserfc import jwk, jws

from presence_svc.auth.subject import viewer_id_of
from tests.rig import Service
from tests.web.socket_client import SocketClient

SECRET = "a secret of thirty-two bytes, it is"
KEY = "a-service-key-of-identity"
SUB = "https://lms.example/users/5?x=\u00e9"
CUT = "Ada \ud83d"


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast", "asgi"])
def trusted(request: pytest.FixtureRequest) -> Iterator[Service]:
    with Service({"PRESENCE_FAST_PATH": request.param}) as made:
        yield made


@pytest.fixture(scope="module")
def jwt() -> Iterator[Service]:
    env = {"PRESENCE_AUTH": "jwt", "PRESENCE_JWT_SECRET": SECRET, "PRESENCE_JWT_ID_CLAIM": "lms.user"}
    env["PRESENCE_SERVICE_KEYS"] = KEY
    with Service(env) as made:
        yield made


def bearer(user: Any, **claims: Any) -> dict[str, str]:
    """Signed by hand: libraries write no half of a surrogate pair."""
    said = {"lms": {"user": user}, "exp": time.time() + 300, **claims}
    token = jws.serialize_compact(
        {"alg": "HS256"}, json.dumps(said).encode(), jwk.OctKey.import_key(SECRET), algorithms=["HS256"]
    )
    return {"Authorization": f"Bearer {token}"}


def post(service: Service, path: str, body: Any, headers: dict[str, str] | None = None) -> httpx2.Response:
    content = json.dumps(body)  # escapes all that is not ASCII, halves of pairs too
    headers = {"content-type": "application/json", **(headers or {})}
    return httpx2.post(f"{service.url}/v1/{path}", content=content, headers=headers, timeout=10)


def names(service: Service, course: str, headers: dict[str, str] | None = None) -> dict[str, str | None]:
    reply = httpx2.get(f"{service.url}/v1/courses/{course}/viewers", headers=headers, timeout=10)
    return {viewer["viewer_id"]: viewer["name"] for viewer in reply.json()["viewers"]}


def repaired(service: Service) -> float:
    lines = httpx2.get(f"{service.url}/metrics", timeout=10).text.splitlines()
    return float(next(line for line in lines if line.startswith("presence_repaired_texts_total")).split()[1])


def test_half_an_emoji_is_repaired_and_counted(trusted: Service) -> None:
    """A name that was cut in its middle is shown with a sign in place of the half; the heartbeat holds."""
    before = repaired(trusted)

    reply = post(trusted, "courses/cut/heartbeat", {"viewer_id": "ada", "name": CUT, "seq": 1})

    assert reply.status_code == 200, reply.text
    assert names(trusted, "cut") == {"ada": "Ada \ufffd"}
    assert repaired(trusted) == before + 1


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_half_an_emoji_spoils_no_batch(trusted: Service, separators: tuple[str, str]) -> None:
    """Only its own item is repaired; all are recorded."""
    items = [{"course_id": "cut-batch", "viewer_id": f"v{n}", "name": f"N{n}", "seq": 1} for n in range(3)]
    items[1]["name"] = CUT
    content = json.dumps({"heartbeats": items}, separators=separators)

    for _ in range(2):
        reply = httpx2.post(
            f"{trusted.url}/v1/heartbeats",
            content=content,
            headers={"content-type": "application/json"},
            timeout=10,
        )

        assert [result.get("status", 200) for result in reply.json()["results"]] == [200] * 3
    assert names(trusted, "cut-batch") == {"v0": "N0", "v1": "Ada \ufffd", "v2": "N2"}


async def test_half_an_emoji_on_a_socket(trusted: Service) -> None:
    """Also in a message of a WebSocket."""
    async with SocketClient(trusted, "cut-ws", joins=False) as visitor:
        await visitor.socket.send(json.dumps({"type": "join", "viewer_id": "ada", "name": CUT}))

        assert (await visitor.next())["type"] == "joined"
        assert names(trusted, "cut-ws") == {"ada": "Ada \ufffd"}


def test_half_an_emoji_in_a_token(jwt: Service) -> None:
    """A token whose name was cut is believed: its signature holds."""
    headers = bearer("ada", name=CUT, picture="https://x.example/\ud83d.png")

    reply = post(jwt, "courses/cut/heartbeat", {}, headers)

    assert reply.status_code == 200, reply.text
    assert names(jwt, "cut", headers) == {"ada": "Ada \ufffd"}


HALVES = ("\ud83d", "a\ud83db", "\udc00", "\ude00\ud83d", "ok\0", "\uffff")
IDS = ("viewer_id", "session_id", "chapter_id")


@pytest.mark.parametrize("field", IDS)
def test_half_a_pair_in_an_id_is_refused_by_field(trusted: Service, field: str) -> None:
    """A heartbeat, a leave, and an item of a batch, which spoils no other."""
    for text in HALVES:
        said = {"viewer_id": "ada", field: text}
        beat = post(trusted, "courses/cut-ids/heartbeat", said)
        assert (beat.status_code, beat.json()["errors"][0]["pointer"]) == (422, f"/{field}"), ascii(text)
        if field != "chapter_id":
            leave = post(trusted, "courses/cut-ids/leave", said)
            assert (leave.status_code, leave.json()["errors"][0]["pointer"]) == (422, f"/{field}")
        items = [{"course_id": "cut-ids", "viewer_id": name} for name in ("bob", "cut", "eve")]
        items[1] |= said
        results = post(trusted, "heartbeats", {"heartbeats": items}).json()["results"]
        assert [result.get("status", 200) for result in results] == [200, 422, 200]
        assert results[1]["errors"][0]["pointer"] == f"/heartbeats/1/{field}"


@pytest.mark.parametrize("path", ["counts", "live"])
def test_half_a_pair_in_a_list_of_courses_is_refused_by_field(trusted: Service, path: str) -> None:
    """Which of them it is, too."""
    for text in HALVES:
        reply = post(trusted, path, {"course_ids": ["sound", text]})
        assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, "/course_ids/1"), ascii(
            text
        )


def test_half_a_pair_in_a_path_or_query_is_refused(trusted: Service) -> None:
    """As percent signs have it; a search finds nothing of such a name."""
    for text in ("%ED%A0%BD", "a%ED%A0%BDb", "%F0%9F%98", "%FF", "%00"):
        for path in (f"courses/{text}/count", f"courses/{text}/live", f"courses/{text}/viewers",
                     f"counts?course_id={text}", f"courses/c1/viewers?chapter_id={text}",
                     f"courses/c1/live?chapters={text}", f"courses/{text}/history"):  # fmt: skip
            assert httpx2.get(f"{trusted.url}/v1/{path}").status_code == 422, path
        assert post(trusted, f"courses/{text}/heartbeat", {"viewer_id": "a"}).status_code == 422
        assert httpx2.delete(f"{trusted.url}/v1/courses/c1/viewers/{text}").status_code == 422
        assert httpx2.get(f"{trusted.url}/v1/stats?q={text}").json()["page"] == []


async def test_half_a_pair_in_an_id_on_a_socket(trusted: Service) -> None:
    """A join is refused by field, and a chapter too: that socket lives on."""
    for field in IDS:
        async with SocketClient(trusted, "cut-socket", joins=False) as visitor:
            said = {"type": "join", "viewer_id": "ada", field: HALVES[0]}
            await visitor.socket.send(json.dumps(said))
            assert (await visitor.next())["errors"][0]["pointer"] == f"/{field}"
    async with SocketClient(trusted, "cut-socket", viewer_id="ada") as visitor:
        await visitor.socket.send(json.dumps({"type": "chapter", "chapter_id": HALVES[1]}))
        assert (await visitor.until("error"))["errors"][0]["pointer"] == "/chapter_id"
        await visitor.say("chapter", chapter_id="sound")
        assert (await visitor.until("count", chapters={"sound": 1}))["total"] == 1


def test_half_a_pair_in_any_claim(jwt: Service) -> None:
    """An id that was cut is the same one each time, and no other's; what is not asked for does no harm."""
    path = "courses/cut-claims/heartbeat"
    cut, again, other = (
        post(jwt, path, {}, bearer(user)) for user in ("user \ud83d", "user \ud83d", "user \ufffd")
    )
    beside = post(jwt, path, {}, bearer("ada", **{"x\ud83d": {"y": ["\udc00"]}, "iss": "\ud83d"}))

    assert [reply.status_code for reply in (cut, again, other, beside)] == [200] * 4
    assert cut.json()["viewer_id"] == again.json()["viewer_id"] != other.json()["viewer_id"]
    assert "Traceback" not in jwt.logs()


def test_a_name_of_nothing_is_none(jwt: Service) -> None:
    """Zero widths and fillers in a token: the viewer is there, without a name."""
    headers = bearer("ghost", name="\u200b\u3164 \u2800")

    assert post(jwt, "courses/blank/heartbeat", {}, headers).status_code == 200
    assert names(jwt, "blank", headers) == {"ghost": None}


def test_a_page_may_call_its_viewer_as_the_token_does(jwt: Service) -> None:
    """The reply says the id that is used; leaves, beacons and evictions by either name end the session."""
    used = viewer_id_of(SUB)
    headers = bearer(SUB)
    for called in (None, SUB, used):
        body = {} if called is None else {"viewer_id": called}
        reply = post(jwt, "courses/raw/heartbeat", body, headers)

        assert (reply.status_code, reply.json()["viewer_id"]) == (200, used), reply.text
    token = reply.json()["leave_token"]

    assert post(jwt, "courses/raw/heartbeat", {"viewer_id": SUB + "x"}, headers).status_code == 403
    assert post(jwt, "courses/raw/leave", {"viewer_id": SUB, "leave_token": token}).status_code == 204
    assert names(jwt, "raw", headers) == {}
    assert post(jwt, "courses/raw/leave", {"viewer_id": SUB}, headers).status_code == 204


def test_nobody_is_another_by_a_digest(jwt: Service) -> None:
    """Whose claim looks like the digest of another's is somebody else."""
    used = viewer_id_of(SUB)

    reply = post(jwt, "courses/twin/heartbeat", {"viewer_id": used}, bearer(used))

    assert reply.status_code == 200
    assert reply.json()["viewer_id"] == viewer_id_of(used) != used


def test_halves_tell_viewers_apart(jwt: Service) -> None:
    """Two claims that differ in halves of pairs alone are two viewers."""
    ids = {
        post(jwt, "courses/halves/heartbeat", {}, bearer(user)).json()["viewer_id"]
        for user in ("a\ud83d", "a\ud83e", "a\ufffd")
    }

    assert len(ids) == 3


@pytest.mark.parametrize("user", [None, "", True, [], 0.5])
def test_the_error_names_the_claim(jwt: Service, user: Any) -> None:
    """401 says which claim is wrong, and how."""
    reply = post(jwt, "courses/c1/heartbeat", {}, bearer(user))

    assert reply.status_code == 401
    assert "`lms.user` is " in reply.json()["detail"]
    assert reply.headers["www-authenticate"].startswith("Bearer error")


def test_a_number_is_its_digits(jwt: Service) -> None:
    """A database's number."""
    reply = post(jwt, "courses/number/heartbeat", {"viewer_id": "70012"}, bearer(70012))

    assert (reply.status_code, reply.json()["viewer_id"]) == (200, "70012")


def test_a_service_must_give_ids(trusted: Service) -> None:
    """AUTH=trusted: what no id can hold is a 422 that names the field, also in a batch."""
    reply = post(trusted, "courses/c1/heartbeat", {"viewer_id": SUB})
    batch = post(trusted, "heartbeats", {"heartbeats": [{"course_id": "c1", "viewer_id": SUB}]})

    assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, "/viewer_id")
    assert batch.json()["results"][0]["errors"][0]["pointer"] == "/heartbeats/0/viewer_id"


async def test_a_viewer_learns_their_pseudonym() -> None:
    """With PSEUDONYMS the reply, and a socket's joined, say under which id others see this viewer."""
    with Service(
        {"PRESENCE_AUTH": "jwt", "PRESENCE_JWT_SECRET": SECRET, "PRESENCE_PSEUDONYMS": "true"}
    ) as made:
        headers = bearer(None, sub="ada", name="Ada")
        reply = post(made, "courses/alias/heartbeat", {}, headers).json()
        async with SocketClient(made, "alias", headers=headers) as socket:
            joined = socket.joined

        assert list(names(made, "alias", headers)) == [reply["pseudonym"]] == [joined["pseudonym"]]
        assert reply["pseudonym"].startswith("~")


def test_without_pseudonyms_a_reply_has_none(trusted: Service) -> None:
    """The field is there only when it says something."""
    assert "pseudonym" not in post(trusted, "courses/plain/heartbeat", {"viewer_id": "ada"}).json()


def test_who_cannot_be_an_id_removes_themselves_under_either_name(jwt: Service) -> None:
    """As the token says it, slashes and all, or by the id that replies tell."""
    headers = bearer(SUB)
    for name in (SUB, viewer_id_of(SUB)):
        assert post(jwt, "courses/own/heartbeat", {"session_id": name[:4]}, headers).json()["total"] == 1

        address = f"{jwt.url}/v1/courses/own/viewers/{quote(name, safe='')}"
        gone, foreign = (
            httpx2.delete(address, headers=who, timeout=10) for who in (headers, bearer("https://other/5"))
        )

        assert (gone.status_code, foreign.status_code) == (204, 403)
        assert names(jwt, "own", headers) == {}


def test_an_id_that_cannot_be_is_wrong_and_not_absent(trusted: Service) -> None:
    """422 that names it, also where it holds a slash: 404 would say that there is no such route."""
    for name in ("a%2Fb", "..%2F..%2Fevict", "a%20b", "%2F", ""):
        reply = httpx2.delete(f"{trusted.url}/v1/courses/own/viewers/{name}", timeout=10)

        assert reply.status_code == 422, name
        assert reply.json()["errors"][0]["pointer"] == "/viewer_id"


def test_nobody_shortens_the_ban_that_a_service_has_named(jwt: Service) -> None:
    """S5, S6: who removes themselves for a second is not back after it; the service has the last word."""
    banned, service = bearer("mallory"), {"Authorization": f"Bearer {KEY}"}
    address = f"{jwt.url}/v1/courses/banned/viewers/mallory"

    def total(session_id: str) -> int:
        post(jwt, "courses/banned/heartbeat", {"session_id": session_id}, banned)
        reply = httpx2.get(f"{jwt.url}/v1/courses/banned/count", headers=service, timeout=10)
        return int(reply.json()["total"])

    assert total("s0") == 1
    for ban, who in (("?ban=3600", service), ("?ban=1", banned), ("?ban=0", banned), ("", banned)):
        assert httpx2.delete(address + ban, headers=who, timeout=10).status_code == 204
    time.sleep(1.2)
    assert total("s1") == 0

    assert httpx2.delete(f"{address}?ban=0", headers=service, timeout=10).status_code == 204
    assert total("s2") == 1


def test_a_token_is_taken_from_its_header_alone(jwt: Service) -> None:
    """H13: addresses are logged and handed on, and cookies are sent by pages that know nothing of it."""
    said = bearer("ada")
    token = said["Authorization"].removeprefix("Bearer ")
    tries: list[dict[str, Any]] = [
        {"params": {name: token}} for name in ("access_token", "token", "jwt", "authorization", "api_key")
    ]
    tries += [{"headers": {"Cookie": f"{name}={token}"}} for name in ("__session", "token", "Authorization")]
    tries += [{"headers": {"X-Api-Key": KEY}}, {"params": {"access_token": KEY}}]
    for path in ("count", "live", "viewers"):
        address = f"{jwt.url}/v1/courses/header/{path}"
        assert [httpx2.get(address, **one, timeout=10).status_code for one in tries] == [401] * len(tries)
    assert httpx2.get(f"{jwt.url}/v1/courses/header/count", headers=said, timeout=10).status_code == 200
    assert token not in jwt.logs()
