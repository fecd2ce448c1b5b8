"""What browsers do with pages: rendered ahead, frozen, thrown away, left before anything was answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, Request, Route, expect

from presence_svc.store.redis.embedded import EmbeddedServer
from tests import rig
from tests.browser.conftest import Complaints
from tests.browser.stage import Others, Proxy, Site, badge, blank, number, until_holds, until_total
from tests.browser.tabs import NUMBER, STATE, Tabs, running
from tests.browser.test_token import SERVICE_KEY, guard

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]

AHEAD = """
(() => {
  let ahead = true;
  Object.defineProperty(document, "prerendering", { get: () => ahead, configurable: true });
  window.show = () => { ahead = false; document.dispatchEvent(new Event("prerenderingchange")); };
})();
"""


def asked(page: Page) -> list[Request]:
    found: list[Request] = []
    page.on("request", lambda request: found.append(request) if "/v1/" in request.url else None)
    return found


def test_a_page_that_is_rendered_ahead_counts_nobody(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """Nothing is asked or said before somebody looks at it; what changes meanwhile is not lost."""
    page = context.new_page()
    page.add_init_script(AHEAD)
    requests = asked(page)
    site.show(page, service.url, badge(course, "ada") + badge(f"{course}.b", "ada", id="b"))
    page.wait_for_timeout(1_000)
    page.evaluate("() => { document.querySelector('live-viewer-badge').chapterId = 'ch-2'; }")
    page.evaluate("document.querySelector('#b').remove()")
    page.wait_for_timeout(500)
    assert requests == []
    assert others.count(course)["total"] == 0

    page.evaluate("show()")

    expect(number(page)).to_have_text("1")
    until_total(page, others, course, 1)
    assert others.count(course)["chapters"] == {"ch-2": 1}
    assert others.count(f"{course}.b")["total"] == 0


def test_a_real_prerender_counts_nobody(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """By speculation rules, as Chromium does it: counted when the link is followed."""
    target = site.add(blank(service.url, badge(course, "ada")), path="/target")
    rules = json.dumps({"prerender": [{"source": "list", "urls": ["/target"], "eagerness": "immediate"}]})
    page = context.new_page()
    page.goto(
        site.add(
            f'<!doctype html><title>t</title><script type="speculationrules">{rules}</script>'
            f'<a id="go" href="/target">go</a>'
        )
    )
    page.wait_for_timeout(2_500)
    assert others.count(course)["total"] == 0

    page.click("#go")

    page.wait_for_url(target)
    until_total(page, others, course, 1)
    assert others.count(course)["total"] == 1


def test_a_frozen_page_gives_its_stream_back_and_is_live_again(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """It stays counted for the lease of a hidden tab, and says that it is here when it goes on."""
    page = context.new_page()
    requests = asked(page)
    site.show(page, service.url, badge(course, "ada"))
    expect(number(page)).to_have_text("1")
    expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")
    with page.expect_event("requestfailed", lambda request: "/v1/live?" in request.url):
        page.evaluate("document.dispatchEvent(new Event('freeze'))")
    others.beat(course, "bob")
    requests.clear()

    page.evaluate("document.dispatchEvent(new Event('resume'))")

    expect(number(page)).to_have_text("2")
    assert any(request.url.endswith("/heartbeat") for request in requests)


@pytest.fixture
def tabs() -> Iterator[Tabs]:
    with running(rig.need("chromium")) as found:
        yield found


@pytest.mark.parametrize("way", ["frozen", "discarded", "frozen-then-discarded"])
def test_a_tab_that_is_put_away_is_counted_once_and_back_again(
    tabs: Tabs, site: Site, service: rig.Service, others: Others, course: str, way: str
) -> None:
    """S1, S3, S5: by Chromium itself. Counted meanwhile by a hidden tab's lease, live again when it is shown.

    A tab that was thrown away goes on with its session, so that nobody stays behind when it leaves.
    """
    url = site.add(blank(service.url, badge(course, "ada", name="Ada")))
    tabs.open(url)
    tabs.until(url, f"{NUMBER} === '1' && {STATE} === 'live'")
    tabs.hide()
    rig.wait_until(lambda: lease_ms(others, course) > 100_000)

    if "frozen" in way:
        tabs.press("Freeze", url, "frozen")
    if "discarded" in way:
        tabs.press("Urgent Discard", url, "discarded")
    others.beat(course, "bob", name="Bob")
    assert others.count(course)["total"] == 2
    assert lease_ms(others, course) > 100_000

    tabs.show(url)
    tabs.until(url, f"{NUMBER} === '2' && {STATE} === 'live'")
    assert tabs.evaluate(url, "document.wasDiscarded") is ("discarded" in way)
    rig.wait_until(lambda: lease_ms(others, course) < 70_000)  # that of a page that is looked at
    assert others.count(course)["total"] == 2
    tabs.evaluate(url, "document.querySelector('live-viewer-badge').remove()")
    rig.wait_until(lambda: others.count(course)["total"] == 1, within_s=10)


def lease_ms(others: Others, course: str) -> int:
    """How long the service would count Ada without hearing of her."""
    now = others.count(course)["as_of"]
    return max(
        [one["expires_at"] - now for one in others.viewers(course) if one["viewer_id"] == "ada"], default=0
    )


@pytest.mark.parametrize("how", ["removed", "elsewhere", "closed"])
@pytest.mark.parametrize("auth", ["jwt", "trusted"])
def test_a_visitor_who_moves_on_before_the_first_answer_is_no_ghost(
    context: BrowserContext,
    site: Site,
    spawn_service: Callable[..., rig.Service],
    shared_redis: EmbeddedServer,
    complaints: Complaints,
    course: str,
    how: str,
    auth: str,
) -> None:
    """S5: the heartbeat reached the service and its answer, with the leave token, nobody."""
    complaints.network_may_fail = True
    own = guard(shared_redis, site) if auth == "jwt" else {"PRESENCE_REDIS_URL": shared_redis.url}
    service = spawn_service(own)
    others = Others(service.url, SERVICE_KEY if auth == "jwt" else "")
    others.beat(course, "bob")
    slow = SlowAnswers(service.port)
    page = context.new_page()
    site.show(page, slow.url, badge(course))
    until_total(page, others, course, 2)

    if how == "removed":
        page.evaluate("document.querySelector('live-viewer-badge').remove()")
    elif how == "closed":
        page.close(run_before_unload=False)
    else:
        page.goto(site.add("<title>elsewhere</title>"))

    watcher = context.new_page() if how == "closed" else page
    until_total(watcher, others, course, 1, timeout_ms=8_000)
    assert slow.kept
    slow.close()


class SlowAnswers(Proxy):
    """Keeps the answers to heartbeats for itself."""

    kept = False

    def keeps(self, data: bytes) -> bool:
        self.kept = self.kept or b"next_heartbeat_ms" in data
        return b"next_heartbeat_ms" in data


def test_an_answer_that_comes_late_takes_out_who_has_gone(
    context: BrowserContext,
    site: Site,
    spawn_service: Callable[..., rig.Service],
    shared_redis: EmbeddedServer,
    complaints: Complaints,
    course: str,
) -> None:
    """Also where a service of before wants a leave token: it comes with the answer."""
    complaints.network_may_fail = True
    service = spawn_service(guard(shared_redis, site))
    others = Others(service.url, SERVICE_KEY)
    page = context.new_page()
    first: list[Route] = []
    leaves: list[Route] = []

    def refuse_first(route: Route) -> None:
        leaves.append(route)
        if len(leaves) == 1:
            route.fulfill(status=401, headers={"access-control-allow-origin": "*"})
        else:
            route.continue_()

    page.route("**/heartbeat", lambda route: first.append(route))
    page.route("**/leave", refuse_first)
    site.show(page, service.url, badge(course))
    until_holds(page, lambda: bool(first))
    page.evaluate("document.querySelector('live-viewer-badge').remove()")
    until_holds(page, lambda: len(leaves) == 1)
    first[0].continue_()

    until_holds(page, lambda: len(leaves) == 2)
    until_total(page, others, course, 0)
    page.wait_for_timeout(500)
    assert others.count(course)["total"] == 0
