"""What the badge shows and does while the service, Redis, a proxy, the network or the tab is away."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx2
import pytest
from playwright.sync_api import BrowserContext, Page, Request, Response, Route, expect

from presence_svc.store.redis.embedded import EmbeddedServer
from tests import rig
from tests.browser.conftest import Complaints, NewPage
from tests.browser.stage import (
    Others,
    Proxy,
    Site,
    badge,
    number,
    numbers,
    record_numbers,
    until,
    until_holds,
)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]
SpawnService = Callable[..., rig.Service]


def expect_state(page: Page, state: str, timeout_ms: int = 15_000) -> None:
    element = page.locator("live-viewer-badge").first
    expect(element).to_have_attribute("data-state", state, timeout=timeout_ms)


def hide(page: Page, hidden: bool) -> None:
    """Pages under test are always visible, so the browser's word for it is replaced."""
    page.evaluate(
        """(hidden) => {
          const value = hidden ? "hidden" : "visible";
          Object.defineProperty(document, "visibilityState", { value, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_a_killed_service_that_comes_back_is_found_again(
    context: BrowserContext,
    site: Site,
    spawn_service: SpawnService,
    redis_url: str,
    complaints: Complaints,
    course: str,
) -> None:
    """The number stays while it is down, the state says so; both are live again by themselves."""
    complaints.network_may_fail = True
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})
    others = Others(service.url)
    others.beat(course, "bob")
    page = context.new_page()
    record_numbers(page)
    site.show(page, service.url, badge(course, "ada"))
    expect(number(page)).to_have_text("2")

    service.kill()
    expect_state(page, "stale")
    expect(number(page)).to_have_text("2")
    service.start()
    expect_state(page, "live")
    others.beat(course, "eve")

    expect(number(page)).to_have_text("3")
    assert numbers(page)[-2:] == ["2", "3"]
    assert "0" not in numbers(page)


def test_a_redis_that_restarts_empty_shows_no_false_number(
    context: BrowserContext,
    site: Site,
    spawn_service: SpawnService,
    own_server: EmbeddedServer,
    complaints: Complaints,
    course: str,
) -> None:
    """S11: all is forgotten, viewers come back one by one, and the number never falls below the truth."""
    complaints.network_may_fail = True  # 503 while Redis is away
    service = spawn_service(
        {
            "PRESENCE_REDIS_URL": own_server.url,
            "PRESENCE_TTL": "4",
            "PRESENCE_HIDDEN_TTL": "10",
            "PRESENCE_HEARTBEAT_INTERVAL": "2",
            "PRESENCE_LEAVE_GRACE": "1",
        }
    )
    others = Others(service.url)
    page = context.new_page()
    record_numbers(page)
    site.show(page, service.url, badge(course, "ada"))
    keep_alive(page, others, course, seconds=5)
    expect(number(page)).to_have_text("3")

    own_server.stop()
    page.wait_for_timeout(1_500)
    own_server.start()
    keep_alive(page, others, course, seconds=7)

    shown = numbers(page)
    assert set(shown[shown.index("3") :]) == {"3"}
    expect(number(page)).to_have_text("3")
    others.leave(course, "bob")
    expect(number(page)).to_have_text("2")


def keep_alive(page: Page, others: Others, course: str, seconds: int) -> None:
    """Two other viewers beat, as players do: whatever the answer is, they try again."""
    for _ in range(seconds * 2):
        for viewer in ("bob", "eve"):
            try:
                others.beat(course, viewer)
            except httpx2.HTTPError:  # 503, or nobody there
                page.wait_for_timeout(100)
        page.wait_for_timeout(500)


def test_a_proxy_that_answers_502_does_not_end_it(
    open_page: NewPage, others: Others, proxy: Proxy, complaints: Complaints, course: str
) -> None:
    """EventSource would give up for good; the badge comes back when the proxy does."""
    complaints.network_may_fail = True
    page = open_page(badge(course, "ada"), base_url=proxy.url)
    expect(number(page)).to_have_text("1")
    expect_state(page, "live")

    proxy.fail()
    expect_state(page, "stale")
    page.wait_for_timeout(3_000)
    proxy.recover()

    expect_state(page, "live")
    others.beat(course, "bob")
    expect(number(page)).to_have_text("2")


def test_without_any_stream_the_number_lives_on_heartbeats(
    context: BrowserContext,
    site: Site,
    spawn_service: SpawnService,
    redis_url: str,
    complaints: Complaints,
    course: str,
) -> None:
    """Some proxies allow no stream at all: then the number is refreshed with each heartbeat."""
    complaints.network_may_fail = True
    timing = {"PRESENCE_TTL": "4", "PRESENCE_HIDDEN_TTL": "10", "PRESENCE_HEARTBEAT_INTERVAL": "1"}
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url, **timing})
    page = context.new_page()
    page.route("**/v1/live?*", lambda route: route.fulfill(status=502))
    site.show(page, service.url, badge(course, "ada"))
    expect(number(page)).to_have_text("1")

    Others(service.url).beat(course, "bob")

    expect(number(page)).to_have_text("2")


def test_an_offline_browser_says_so_and_comes_back_at_once(
    context: BrowserContext,
    open_page: NewPage,
    others: Others,
    complaints: Complaints,
    course: str,
) -> None:
    """`offline` keeps the last number, `online` does not wait for a timer."""
    complaints.network_may_fail = True
    page = open_page(badge(course, "ada"))
    expect(number(page)).to_have_text("1")

    context.set_offline(True)
    expect_state(page, "offline")
    expect(number(page)).to_have_text("1")
    expect(page.locator("[part=badge]")).to_have_attribute("aria-label", "1 person was watching")
    others.beat(course, "bob")
    context.set_offline(False)

    expect_state(page, "live", timeout_ms=4_500)  # a pause may be longer
    expect(number(page)).to_have_text("2")


def is_beat(response: Response) -> bool:
    """An answered heartbeat, not its preflight."""
    return response.url.endswith("/heartbeat") and response.request.method == "POST"


def test_a_hidden_tab_says_so_and_gives_its_stream_back(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """S3: hidden at once (a longer lease), no stream after ten seconds; shown again it is live at once."""
    page = context.new_page()
    page.clock.install()
    said: list[Request] = []
    page.on("request", lambda request: said.append(request))
    with page.expect_response(is_beat):
        site.show(page, service.url, badge(course, "ada"))
    expect(number(page)).to_have_text("1")
    expect_state(page, "live")

    def beats() -> list[dict[str, object]]:
        return [
            json.loads(r.post_data or "") for r in said if r.url.endswith("/heartbeat") and r.method == "POST"
        ]

    with page.expect_response(is_beat):
        hide(page, True)
        page.clock.run_for(100)
    with page.expect_event("requestfailed", lambda request: "/v1/live?" in request.url):
        page.clock.run_for(11_000)
    assert [beat["hidden"] for beat in beats()] == [False, True]

    others.beat(course, "bob")
    with page.expect_response(is_beat), page.expect_request("**/v1/live?*"):
        hide(page, False)
        page.clock.run_for(1_000)
    expect(number(page)).to_have_text("2")
    assert [beat["hidden"] for beat in beats()] == [False, True, False]
    assert [beat["seq"] for beat in beats()] == [1, 2, 3]


def test_a_hidden_tab_stays_counted_while_its_timers_sleep(
    open_page: NewPage, others: Others, course: str
) -> None:
    """S3: the lease of a hidden tab outlasts timers that fire once a minute."""
    page = open_page(badge(course, "ada", name="Ada"))
    expect(number(page)).to_have_text("1")

    hide(page, True)

    def lease_ms() -> int:
        (viewer,) = others.viewers(course)
        return int(viewer["expires_at"] - others.count(course)["as_of"])

    until_holds(page, lambda: lease_ms() > 120_000)


def test_heartbeats_go_on_when_the_service_says(
    context: BrowserContext, site: Site, service: rig.Service, course: str
) -> None:
    """Half an hour of watching is a heartbeat about twice a minute, each with a greater seq."""
    page = context.new_page()
    page.clock.install()
    seqs: list[int] = []

    def note(request: Request) -> None:
        if request.url.endswith("/heartbeat") and request.method == "POST":
            seqs.append(json.loads(request.post_data or "")["seq"])

    page.on("request", note)
    site.show(page, service.url, badge(course, "ada"))
    expect(number(page)).to_have_text("1")

    for _ in range(6):
        with page.expect_response(is_beat):
            page.clock.run_for(30_000)
        page.wait_for_timeout(250)  # the page reads it

    assert seqs == list(range(1, len(seqs) + 1))
    assert 6 <= len(seqs) <= 9


def test_a_refused_heartbeat_is_an_event_and_no_end(
    context: BrowserContext, site: Site, service: rig.Service, complaints: Complaints, course: str
) -> None:
    """Refused heartbeats are told; the number has nobody in it who is not counted; it tries on."""
    complaints.network_may_fail = True
    page = context.new_page()
    page.route("**/heartbeat", lambda route: route.fulfill(status=403, json={"detail": "not yours"}))
    page.add_init_script(
        "window.problems = [];"
        "addEventListener('presence-error', (event) => problems.push(event.detail.message));"
    )
    Others(service.url).beat(course, "bob")
    site.show(page, service.url, badge(course, "ada"))
    until(page, "problems.length > 1")
    expect(number(page)).to_have_text("1")

    page.unroute("**/heartbeat")

    expect(number(page)).to_have_text("2", timeout=20_000)


@pytest.mark.parametrize("observe", [True, False], ids=["observer", "viewer"])
@pytest.mark.parametrize("how", ["refused", "502", "silent"])
def test_a_service_that_was_never_there_is_claimed_nothing_of(
    context: BrowserContext,
    site: Site,
    service: rig.Service,
    complaints: Complaints,
    course: str,
    how: str,
    observe: bool,
) -> None:
    """Unreachable from the beginning: no number, and no "last known" one after half a minute either."""
    complaints.network_may_fail = True
    Others(service.url).beat(course, "bob")
    page = context.new_page()
    page.clock.install()

    def fail(route: Route) -> None:
        if how == "refused":
            route.abort("connectionrefused")
        elif how == "502":
            route.fulfill(status=502)

    page.route("**/v1/**", fail)
    site.show(page, service.url, badge(course, "" if observe else "ada", observe=observe))
    page.wait_for_timeout(500)
    for _ in range(25):
        page.clock.run_for(2_000)

    expect_state(page, "offline")
    expect(number(page)).to_have_text("\u2013")
    expect(page.locator("[part=badge]")).to_have_attribute("aria-label", "not available")
    page.hover("live-viewer-badge")
    expect(page.locator("[part=tooltip]")).to_have_text("not available")
    page.unroute("**/v1/**")
    for _ in range(20):
        page.clock.run_for(2_000)
        page.wait_for_timeout(100)
    expect_state(page, "live")


def test_a_fresh_redis_is_counting(
    context: BrowserContext, site: Site, spawn_service: SpawnService, own_server: EmbeddedServer, course: str
) -> None:
    """S11: while nobody can have been heard yet, "counting" is said instead of a dash or a 0."""
    timing = {"PRESENCE_TTL": "4", "PRESENCE_HIDDEN_TTL": "10", "PRESENCE_HEARTBEAT_INTERVAL": "2"}
    service = spawn_service({"PRESENCE_REDIS_URL": own_server.url, **timing})
    page = context.new_page()
    site.show(page, service.url, badge(course, observe=True))

    expect(number(page)).to_have_text("counting")
    expect(page.locator("[part=badge]")).to_have_attribute("aria-label", "counting")
    expect(number(page)).to_have_text("0", timeout=15_000)


def test_a_number_of_a_heartbeat_alone_is_stale_when_no_stream_opens(
    context: BrowserContext, site: Site, service: rig.Service, complaints: Complaints, course: str
) -> None:
    """Counted, and then nothing answers any more: the number stays and is not "connecting" for ever."""
    complaints.network_may_fail = True
    page = context.new_page()
    page.route("**/v1/live?*", lambda route: route.abort())
    page.route("**/v1/counts?*", lambda route: route.abort())
    site.show(page, service.url, badge(course, "ada"))

    expect(number(page)).to_have_text("1")
    expect_state(page, "stale")
