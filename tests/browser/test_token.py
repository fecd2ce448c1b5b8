"""The badge where tokens say who one is: `getToken`, tokens that end, and visitors without one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from playwright.sync_api import BrowserContext, Page, Request, Route, expect

from presence_svc.store.redis.embedded import EmbeddedServer
from tests import rig
from tests.browser.conftest import Complaints
from tests.browser.stage import (
    Others,
    Site,
    badge,
    number,
    numbers,
    published,
    record_numbers,
    until,
    until_total,
)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]
SpawnService = Callable[..., rig.Service]
SECRET = "a secret of the tests that is long enough"
SERVICE_KEY = "a-service-key-of-the-tests"


def guard(redis: EmbeddedServer, site: Site) -> dict[str, str]:
    return {
        "PRESENCE_REDIS_URL": redis.url,
        "PRESENCE_AUTH": "jwt",
        "PRESENCE_JWT_SECRET": SECRET,
        "PRESENCE_JWT_LEEWAY": "0",
        "PRESENCE_PUBLIC_COUNTS": "true",
        "PRESENCE_ALLOW_ANONYMOUS": "true",
        "PRESENCE_SERVICE_KEYS": SERVICE_KEY,
        "PRESENCE_CORS_ORIGINS": site.url,
    }


@pytest.fixture
def guarded(spawn_service: SpawnService, shared_redis: EmbeddedServer, site: Site) -> rig.Service:
    """A service that wants tokens, and shows its counts to everybody."""
    return spawn_service(guard(shared_redis, site))


@pytest.fixture
def admin(guarded: rig.Service) -> Others:
    return Others(guarded.url, SERVICE_KEY)


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page with `token(seconds, viewer?, courses?)` as its site's way to a new token."""
    page = context.new_page()

    def token(seconds: float, viewer: str = "ada", courses: list[str] | None = None) -> str:
        now = time.time()
        claims = {"sub": viewer, "name": "Ada L.", "iat": int(now), "exp": now + seconds, "courses": courses}
        return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))

    page.expose_function("token", token)
    return page


def with_token(course: str, get_token: str) -> str:
    """A badge whose site set its getToken before the module had come."""
    return (
        f"{badge(course, show_avatars=True)}<script>window.asked = [];"
        f"document.querySelector('live-viewer-badge').getToken = async (options) => {{"
        f" asked.push(Boolean(options?.skipCache)); {get_token} }};</script>"
    )


def test_the_token_says_who_one_is(
    page: Page, site: Site, guarded: rig.Service, admin: Others, course: str
) -> None:
    """No viewer-id is needed: id and name are the token's, and the tooltip knows oneself."""
    site.show(page, guarded.url, with_token(course, "return token(60);"))

    expect(number(page)).to_have_text("1")
    page.hover("live-viewer-badge")
    expect(page.locator("[part=viewer]")).to_have_text(["ALAda L. (you)"])
    (viewer,) = admin.viewers(course)
    assert (viewer["viewer_id"], viewer["name"]) == ("ada", "Ada L.")


def test_a_token_that_ends_is_renewed_and_the_stream_goes_on(
    page: Page, site: Site, guarded: rig.Service, admin: Others, course: str
) -> None:
    """H6: `reauth` ends the stream of an old token; the badge asks for a new one and is live again."""
    streams: list[Request] = []
    page.on("request", lambda request: streams.append(request) if "/v1/live?" in request.url else None)
    site.show(page, guarded.url, with_token(course, "return token(3);"))
    expect(number(page)).to_have_text("1")
    element = page.locator("live-viewer-badge")
    expect(element).to_have_attribute("data-state", "live")
    element.evaluate(
        """(badge) => {
          window.states = [];
          const watch = new MutationObserver(() => states.push(badge.dataset.state));
          watch.observe(badge, { attributeFilter: ["data-state"] });
        }"""
    )

    page.wait_for_timeout(7_500)  # two tokens later
    admin.beat(course, "bob")
    expect(number(page)).to_have_text("2")

    tokens = {request.headers.get("authorization") for request in streams if request.method == "GET"}
    assert len(tokens) >= 3
    assert True in page.evaluate("asked")
    assert set(page.evaluate("states")) <= {"live"}


def test_a_refused_token_is_renewed_at_once(
    page: Page,
    site: Site,
    guarded: rig.Service,
    admin: Others,
    complaints: Complaints,
    course: str,
) -> None:
    """A cache that gives out an ended token is asked again, without it, in the same breath."""
    complaints.network_may_fail = True
    get_token = "return options?.skipCache ? token(60) : token(-60);"

    site.show(page, guarded.url, with_token(course, get_token))

    expect(number(page)).to_have_text("1")
    expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")
    rig.wait_until(lambda: [viewer["viewer_id"] for viewer in admin.viewers(course)] == ["ada"])


def test_leaving_needs_no_token(
    page: Page, site: Site, guarded: rig.Service, admin: Others, course: str
) -> None:
    """S5: a removed badge is gone at once by its leave token, as a simple request without a header."""
    leaves: list[Request] = []
    page.on("request", lambda request: leaves.append(request) if request.url.endswith("/leave") else None)
    site.show(page, guarded.url, with_token(course, "return token(60);"))
    expect(number(page)).to_have_text("1")
    rig.wait_until(lambda: admin.count(course)["total"] == 1)  # the badge counts itself before that
    page.wait_for_timeout(300)

    page.evaluate("document.querySelector('live-viewer-badge').remove()")

    until_total(page, admin, course, 0)
    assert [request.method for request in leaves] == ["POST"]  # and no preflight
    assert "authorization" not in leaves[0].headers


def test_a_visitor_without_a_token_sees_the_number_and_is_a_number(
    page: Page,
    site: Site,
    guarded: rig.Service,
    admin: Others,
    complaints: Complaints,
    course: str,
) -> None:
    """Public counts: names are refused, the number is live all the same; anonymous, and gone when gone."""
    complaints.network_may_fail = True
    admin.beat(course, "bob", name="Bob")
    site.show(page, guarded.url, badge(course, show_avatars=True))

    expect(number(page)).to_have_text("2")
    expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")
    rig.wait_until(lambda: admin.count(course)["total"] == 2)
    found = admin.count(course)
    assert (found["named"], found["anonymous"]) == (1, 1)
    page.hover("live-viewer-badge")
    expect(page.locator("[part=tooltip]")).to_contain_text("2 people are watching now")
    assert page.locator("[part=viewer]").count() == 0
    page.evaluate("document.querySelector('live-viewer-badge').remove()")
    until_total(page, admin, course, 1)


# Signing in on the page that counted a visitor before.

SIGN_IN = "badge.getToken = () => token(60);"
WAYS = {
    "token": SIGN_IN,
    "token+id": f"badge.viewerId = 'ada'; {SIGN_IN}",
    "id-then-token": f"badge.viewerId = 'ada'; setTimeout(() => {{ {SIGN_IN} }}, 300);",
    "token-then-id": f"{SIGN_IN} setTimeout(() => {{ badge.viewerId = 'ada'; }}, 300);",
    "token+name+chapter": f"badge.name = 'Ada'; badge.chapterId = 'ch-2'; {SIGN_IN}",
}


@pytest.fixture
def requests(page: Page) -> list[str]:
    """What the page asks the service for, by the last part of its path."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[-1]))
    return asked


def sign_in(page: Page, how: str) -> None:
    page.evaluate(f"() => {{ const badge = document.querySelector('live-viewer-badge'); {how} }}")


def until_named(page: Page, admin: Others, course: str, *viewers: str) -> None:
    """Waits until the service knows these by their ids, and a message about it would have come."""
    for _ in range(300):
        if {viewer["viewer_id"] for viewer in admin.viewers(course)} == set(viewers):
            break
        page.wait_for_timeout(50)
    page.wait_for_timeout(700)
    count = admin.count(course)
    assert (count["total"], count["named"], count["anonymous"]) == (len(viewers), len(viewers), 0)


@pytest.mark.parametrize(
    ("how", "when"),
    [
        pytest.param(how, when, id=f"{name}-{when}")
        for name, how in WAYS.items()
        for when in ("counted", "at-once")
        # Before the first answer an id alone might be for a service that believes it: another viewer's.
        if (name, when) != ("id-then-token", "at-once")
    ],
)
def test_a_visitor_signs_in_and_no_number_moves(
    page: Page,
    site: Site,
    guarded: rig.Service,
    shared_redis: EmbeddedServer,
    admin: Others,
    complaints: Complaints,
    requests: list[str],
    course: str,
    how: str,
    when: str,
) -> None:
    """S1, S5, S8: the session goes on: no leave, no other number on the page or the channel."""
    complaints.network_may_fail = "setTimeout" in how  # until it is there, the id is refused
    admin.beat(course, "bob")
    admin.beat(course, "cleo")
    record_numbers(page)
    with published(shared_redis.url, course) as messages:
        site.show(page, guarded.url, badge(course))
        if when == "counted":
            expect(number(page)).to_have_text("3")
            until_counted(page, admin, course, named=2, anonymous=1)
        messages.clear()
        shown = len(numbers(page))
        sign_in(page, how)
        until_named(page, admin, course, "ada", "bob", "cleo")

    assert "leave" not in requests
    if when == "counted":
        assert set(numbers(page)[shown - 1 :]) == {"3"}
        assert {message["total"] for message in messages} == {3}
    expect(number(page)).to_have_text("3")


def test_a_token_that_comes_late_names_all_badges_of_a_page(
    page: Page,
    site: Site,
    guarded: rig.Service,
    shared_redis: EmbeddedServer,
    admin: Others,
    requests: list[str],
    course: str,
) -> None:
    """S1: a getToken that gave nothing until now: the next heartbeat signs in, with the token's id."""
    admin.beat(course, "bob")
    record_numbers(page)
    site.show(page, guarded.url, badge(course) + badge(course, name="Ada"))
    expect(number(page).first).to_have_text("2")
    sign_in(page, "window.isIn = false; badge.getToken = () => window.isIn ? token(60) : '';")
    until_counted(page, admin, course, named=1, anonymous=1)

    with published(shared_redis.url, course) as messages:
        shown = len(numbers(page))
        page.evaluate("() => { window.isIn = true; document.dispatchEvent(new Event('visibilitychange')); }")
        until_named(page, admin, course, "ada", "bob")

    assert "leave" not in requests
    assert set(numbers(page)[shown - 1 :]) == {"2"}
    assert {message["total"] for message in messages} == {2}
    page.evaluate("document.querySelectorAll('live-viewer-badge').forEach((one) => one.remove())")
    until_total(page, admin, course, 1)


# Signing out, or in as somebody else, on the page that named a viewer before.

SIGN_OUTS = ["null", "undefined", "() => ''", "async () => null"]


def posts(page: Page, what: str) -> list[Request]:
    """What the page will have posted to this path."""
    found: list[Request] = []

    def note(request: Request) -> None:
        if request.method == "POST" and request.url.endswith(what):
            found.append(request)

    page.on("request", note)
    return found


def until_counted(page: Page, admin: Others, course: str, named: int, anonymous: int) -> None:
    """Waits until the service counts so many, and says so for a while."""
    for wait_ms in [50] * 300 + [700]:
        count = admin.count(course)
        if (count["named"], count["anonymous"]) == (named, anonymous):
            break
        page.wait_for_timeout(wait_ms)
    page.wait_for_timeout(700)
    count = admin.count(course)
    assert (count["named"], count["anonymous"]) == (named, anonymous)


def body_of(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.post_data or "")
    return body


@pytest.mark.parametrize("getter", SIGN_OUTS, ids=["null", "undefined", "empty", "resolves-to-null"])
def test_who_signs_out_is_a_number_and_no_number_moves(
    page: Page, site: Site, guarded: rig.Service, admin: Others, course: str, getter: str
) -> None:
    """S5, S7: the session goes on as a visitor's, in one step: no leave, and nobody stays named beside it."""
    admin.beat(course, "bob")
    beats, leaves = posts(page, "/heartbeat"), posts(page, "/leave")
    site.show(page, guarded.url, badge(course))
    sign_in(page, SIGN_IN)
    until_named(page, admin, course, "ada", "bob")
    record_numbers(page)
    page.evaluate(
        "window.numbers = []; addEventListener('presence-change', (e) => numbers.push(e.detail.total))"
    )
    said = len(beats)

    sign_in(page, f"badge.getToken = {getter};")

    until_counted(page, admin, course, named=1, anonymous=1)
    expect(number(page)).to_have_text("2")
    assert set(page.evaluate("numbers")) <= {2}
    after = beats[said:]
    assert {"authorization" in beat.headers for beat in after} == {False}
    assert body_of(after[0])["viewer_id"] == "ada"
    assert body_of(after[0])["leave_token"]
    assert {body_of(beat)["session_id"] for beat in beats} == {body_of(beats[0])["session_id"]}

    sign_in(page, SIGN_IN)
    until_named(page, admin, course, "ada", "bob")
    assert leaves == []


def test_who_signs_out_is_gone_where_visitors_are_not_counted(
    page: Page,
    site: Site,
    spawn_service: SpawnService,
    shared_redis: EmbeddedServer,
    complaints: Complaints,
    course: str,
) -> None:
    """S5: the visitor is refused, and the viewer has left all the same."""
    complaints.network_may_fail = True
    service = spawn_service({**guard(shared_redis, site), "PRESENCE_ALLOW_ANONYMOUS": "false"})
    admin = Others(service.url, SERVICE_KEY)
    admin.beat(course, "bob")
    site.show(page, service.url, with_token(course, "return token(60);"))
    until_named(page, admin, course, "ada", "bob")

    sign_in(page, "badge.getToken = null;")

    until_named(page, admin, course, "bob")
    expect(number(page)).to_have_text("1")
    page.hover("live-viewer-badge")
    expect(page.locator("[part=tooltip]")).to_contain_text("1 person is watching now")
    assert page.locator("[part=viewer]").count() == 0


def test_a_token_that_comes_after_the_sign_out_names_nobody(
    page: Page, site: Site, guarded: rig.Service, admin: Others, course: str
) -> None:
    """S6: what was asked for before does not sign in who has signed out since."""
    site.show(page, guarded.url, badge(course))
    slow = "(resolve) => { window.give = async () => resolve(await token(60)); }"
    sign_in(page, f"badge.getToken = () => new Promise({slow});")
    until(page, "Boolean(window.give)")

    sign_in(page, "badge.getToken = null;")
    page.evaluate("give()")

    until_counted(page, admin, course, named=0, anonymous=1)


def test_who_signs_out_before_the_first_answer_leaves_too(
    page: Page, site: Site, guarded: rig.Service, admin: Others, course: str
) -> None:
    """S5: the heartbeat that names them is under way, and only its answer brings their leave token."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "authorization" in route.request.headers:
            held.append(route)
        else:
            route.continue_()

    site.show(page, guarded.url, badge(course))
    until_counted(page, admin, course, named=0, anonymous=1)
    page.route("**/heartbeat", hold)
    with page.expect_request(lambda request: "authorization" in request.headers):
        sign_in(page, SIGN_IN)
    with page.expect_request("**/leave"):
        sign_in(page, "badge.getToken = null;")
    held[0].continue_()

    until_counted(page, admin, course, named=0, anonymous=1)


def test_a_badge_that_never_had_a_token_signs_nobody_out(
    page: Page, site: Site, guarded: rig.Service, admin: Others, requests: list[str], course: str
) -> None:
    """All badges of a page are one viewer: only the one that signed them in signs them out."""
    site.show(page, guarded.url, badge(course) + badge(course, id="other"))
    sign_in(page, SIGN_IN)
    until_named(page, admin, course, "ada")

    page.evaluate(
        "() => { Object.assign(document.querySelector('#other'), { getToken: null, name: 'Ada' }); }"
    )

    until_named(page, admin, course, "ada")
    assert "leave" not in requests


def test_a_new_function_for_the_same_person_is_no_sign_out(
    page: Page, site: Site, guarded: rig.Service, admin: Others, requests: list[str], course: str
) -> None:
    """React gives another function at every render: the session goes on, and few tokens are asked for."""
    site.show(page, guarded.url, with_token(course, "return token(60);"))
    until_named(page, admin, course, "ada")
    asked, opened = len(page.evaluate("asked")), requests_of_streams(requests)

    renew = "badge.getToken = async () => { asked.push(false); return token(60); };"
    for _ in range(10):
        sign_in(page, renew)
    page.wait_for_timeout(2_000)

    until_named(page, admin, course, "ada")
    assert "leave" not in requests
    assert len(page.evaluate("asked")) - asked <= 2
    assert requests_of_streams(requests) == opened


def requests_of_streams(asked: list[str]) -> int:
    return sum(one.startswith("live?") for one in asked)


def test_another_person_signs_in_on_the_same_page(
    page: Page, site: Site, guarded: rig.Service, admin: Others, course: str
) -> None:
    """S1, S5: the one leaves before the other comes, under a session of their own; and both can go."""
    beats, leaves = posts(page, "/heartbeat"), posts(page, "/leave")
    site.show(page, guarded.url, badge(course))
    sign_in(page, SIGN_IN)
    until_named(page, admin, course, "ada")
    sign_in(page, "badge.getToken = () => token(60, 'eve');")
    until_named(page, admin, course, "eve")
    expect(number(page)).to_have_text("1")
    sign_in(page, "badge.getToken = () => token(60);")
    page.evaluate("() => { document.dispatchEvent(new Event('visibilitychange')); }")
    until_named(page, admin, course, "ada")

    assert [body_of(leave)["viewer_id"] for leave in leaves] == ["ada", "eve"]
    assert len({body_of(beat)["session_id"] for beat in beats}) == 3
    page.evaluate("document.querySelector('live-viewer-badge').remove()")
    until_named(page, admin, course)


# Tokens that are of no use.


def test_a_token_that_is_over_already_makes_no_storm(
    page: Page,
    site: Site,
    spawn_service: SpawnService,
    shared_redis: EmbeddedServer,
    complaints: Complaints,
    requests: list[str],
    course: str,
) -> None:
    """H6: within its leeway a stream opens and ends with `reauth`: asked for again with growing pauses."""
    complaints.network_may_fail = True
    service = spawn_service({**guard(shared_redis, site), "PRESENCE_JWT_LEEWAY": "30"})
    admin = Others(service.url, SERVICE_KEY)
    site.show(page, service.url, with_token(course, "return window.old ??= await token(-5);"))
    expect(number(page)).to_have_text("1")

    page.wait_for_timeout(4_000)

    assert 2 <= requests_of_streams(requests) <= 30  # a preflight each; without a pause they are hundreds
    assert True in page.evaluate("asked")
    page.evaluate("async () => { window.old = await token(60); }")
    page.evaluate("() => { document.dispatchEvent(new Event('visibilitychange')); }")
    expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")
    admin.beat(course, "bob")
    expect(number(page)).to_have_text("2")


def test_a_course_that_a_token_does_not_open_takes_no_other_with_it(
    page: Page,
    site: Site,
    spawn_service: SpawnService,
    shared_redis: EmbeddedServer,
    complaints: Complaints,
    course: str,
) -> None:
    """The others are live with their names; the refused one is asked for again with another token."""
    complaints.network_may_fail = True
    closed = {"PRESENCE_JWT_COURSES_CLAIM": "courses", "PRESENCE_PUBLIC_COUNTS": "false"}
    service = spawn_service({**guard(shared_redis, site), **closed})
    admin = Others(service.url, SERVICE_KEY)
    admin.beat(f"{course}.b", "bob")
    site.show(page, service.url, badge(f"{course}.a", show_avatars=True) + badge(f"{course}.b", observe=True))
    badges = page.locator("live-viewer-badge")

    sign_in(page, f"badge.getToken = () => token(60, 'eve', ['{course}.a']);")
    until_named(page, admin, f"{course}.a", "eve")
    expect(badges.nth(0)).to_have_attribute("data-state", "live")
    expect(badges.nth(1)).to_have_attribute("data-state", "offline")
    admin.beat(f"{course}.a", "cleo", name="Cleo")
    expect(number(page).nth(0)).to_have_text("2")
    badges.nth(0).hover()
    expect(page.locator("[part=viewer]").filter(has_text="Cleo")).to_be_visible()

    sign_in(page, f"badge.getToken = () => token(60, 'ada', ['{course}.a', '{course}.b']);")
    expect(badges.nth(1)).to_have_attribute("data-state", "live")
    admin.beat(f"{course}.b", "cleo")
    expect(number(page)).to_have_text(["2", "2"])


def test_public_counts_are_live_for_who_has_signed_in_too(
    page: Page,
    site: Site,
    spawn_service: SpawnService,
    shared_redis: EmbeddedServer,
    complaints: Complaints,
    course: str,
) -> None:
    """A course that the token does not open shows its number as it does to strangers."""
    complaints.network_may_fail = True  # names are asked for once, and refused
    service = spawn_service({**guard(shared_redis, site), "PRESENCE_JWT_COURSES_CLAIM": "courses"})
    admin = Others(service.url, SERVICE_KEY)
    admin.beat(f"{course}.b", "bob")
    site.show(page, service.url, badge(f"{course}.a", show_avatars=True) + badge(f"{course}.b", observe=True))
    expect(number(page)).to_have_text(["1", "1"])

    sign_in(page, f"badge.getToken = () => token(60, 'eve', ['{course}.a']);")
    until_named(page, admin, f"{course}.a", "eve")
    for there in ("a", "b"):
        admin.beat(f"{course}.{there}", "cleo")

    expect(number(page)).to_have_text(["2", "2"])
    for n in range(2):
        expect(page.locator("live-viewer-badge").nth(n)).to_have_attribute("data-state", "live")


def test_what_one_page_learns_of_names_holds_for_all(
    context: BrowserContext,
    site: Site,
    guarded: rig.Service,
    admin: Others,
    complaints: Complaints,
    course: str,
) -> None:
    """The page that leads asks once for another's names, which visitors may not see, and both are live."""
    complaints.network_may_fail = True
    admin.beat(course, "bob")
    admin.beat(f"{course}.b", "bob")
    leading, following = context.new_page(), context.new_page()
    refused: list[str] = []
    leading.on("response", lambda one: refused.append(one.url) if one.status == 401 else None)
    site.show(leading, guarded.url, badge(course, observe=True))
    expect(leading.locator("live-viewer-badge")).to_have_attribute("data-state", "live")

    site.show(following, guarded.url, badge(f"{course}.b", observe=True, show_avatars=True))

    expect(following.locator("live-viewer-badge")).to_have_attribute("data-state", "live")
    following.wait_for_timeout(2_500)
    assert len(refused) <= 1
    for i in range(3):
        admin.beat(course, f"v{i}")
        admin.beat(f"{course}.b", f"v{i}")
        for page in (leading, following):
            expect(number(page)).to_have_text(str(i + 2), timeout=2_000)  # a poll is slower


def test_a_course_that_the_token_opens_later_is_shown_with_the_next_heartbeat(
    page: Page,
    site: Site,
    spawn_service: SpawnService,
    shared_redis: EmbeddedServer,
    complaints: Complaints,
    course: str,
) -> None:
    """Who enrols gets another token by the same function: the badge says so without a reload."""
    complaints.network_may_fail = True
    closed = {"PRESENCE_JWT_COURSES_CLAIM": "courses", "PRESENCE_PUBLIC_COUNTS": "false"}
    service = spawn_service({**guard(shared_redis, site), **closed})
    admin = Others(service.url, SERVICE_KEY)
    admin.beat(course, "bob")
    admin.beat(f"{course}.b", "bob")
    get_token = (
        f"return token(60, 'ada', ['elsewhere', ...(window.enrolled ? ['{course}', '{course}.b'] : [])]);"
    )
    site.show(page, service.url, with_token(course, get_token) + badge(f"{course}.b", observe=True))
    for i in range(2):
        expect(page.locator("live-viewer-badge").nth(i)).to_have_attribute("data-state", "offline")

    page.evaluate("() => { window.enrolled = true; }")

    expect(number(page)).to_have_text(["2", "1"], timeout=25_000)  # heartbeats are tried with growing pauses
    for i in range(2):
        expect(page.locator("live-viewer-badge").nth(i)).to_have_attribute("data-state", "live")
