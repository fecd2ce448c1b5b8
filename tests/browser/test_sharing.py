"""Pages of one browser share a stream: over HTTP/1.1 all tabs together have six connections to an origin."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx2
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from presence_svc.store.redis.embedded import EmbeddedServer
from tests import rig
from tests.browser.conftest import Complaints
from tests.browser.stage import Others, Site, badge, blank, number

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
SpawnService = Callable[..., rig.Service]
# Leases so short that a heartbeat which waits for a connection ends one.
QUICK = {"PRESENCE_TTL": "12", "PRESENCE_HIDDEN_TTL": "20", "PRESENCE_HEARTBEAT_INTERVAL": "3"}
ALONE = "<script>delete window.BroadcastChannel;</script>"


@pytest.fixture
def own(spawn_service: SpawnService, redis_url: str) -> rig.Service:
    """A service of the test's own, whose streams can be counted."""
    return spawn_service({"PRESENCE_REDIS_URL": redis_url, **QUICK})


def streams(service: rig.Service) -> int:
    found = re.search(
        r"^presence_streams(?:\{[^}]*\})? (\d+)", httpx2.get(f"{service.url}/metrics").text, re.M
    )
    assert found
    return int(found[1])


def until_streams(page: Page, service: rig.Service, n: int, timeout_ms: int = 10_000) -> None:
    for _ in range(timeout_ms // 100):
        if streams(service) == n:
            return
        page.wait_for_timeout(100)
    assert streams(service) == n


def open_pages(context: BrowserContext, site: Site, service: rig.Service, course: str, n: int) -> list[Page]:
    pages = []
    for i in range(n):
        page = context.new_page()
        site.show(page, service.url, badge(course, f"v{i}", name=f"V {i}"))
        pages.append(page)
    return pages


def test_eight_windows_are_one_stream_and_eight_viewers(
    context: BrowserContext, site: Site, own: rig.Service, course: str
) -> None:
    """More windows than connections: all are live, none starves, and one that leads may close."""
    pages = open_pages(context, site, own, course, 8)
    for page in pages:
        expect(number(page)).to_have_text("8", timeout=15_000)
    until_streams(pages[0], own, 1)

    pages[0].wait_for_timeout(14_000)  # longer than a lease

    assert Others(own.url).count(course)["total"] == 8
    for page in pages:
        expect(number(page)).to_have_text("8")
        expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")
    pages[0].close()
    for page in pages[1:]:
        expect(number(page)).to_have_text("7", timeout=15_000)
    until_streams(pages[1], own, 1)
    Others(own.url).beat(course, "bob")
    for page in pages[1:]:
        expect(number(page)).to_have_text("8")


def test_windows_of_different_courses_share_it_too(
    context: BrowserContext, site: Site, own: rig.Service, course: str
) -> None:
    """The one stream carries what any of them wants, from the moment in which it is wanted."""
    first = context.new_page()
    site.show(first, own.url, badge(f"{course}.a", "ada"))
    expect(number(first)).to_have_text("1")
    second = context.new_page()
    site.show(second, own.url, badge(f"{course}.b", "ada", name="Ada", show_avatars=True))
    expect(number(second)).to_have_text("1")
    until_streams(first, own, 1)

    Others(own.url).beat(f"{course}.a", "bob")
    Others(own.url).beat(f"{course}.b", "bob", name="Bob")
    Others(own.url).beat(f"{course}.b", "eve", name="Eve")

    expect(number(first)).to_have_text("2")
    expect(number(second)).to_have_text("3")
    second.hover("live-viewer-badge")
    expect(second.locator("[part=viewer]")).to_have_text(["AAda (you)", "BBob", "EEve"])
    second.evaluate("(id) => { document.querySelector('live-viewer-badge').courseId = id; }", f"{course}.c")
    expect(number(second)).to_have_text("1")
    assert streams(own) == 1


def test_a_leader_that_hangs_is_replaced(
    context: BrowserContext, site: Site, own: rig.Service, course: str
) -> None:
    """A page that leads and cannot speak (a dialog, a long script) takes nobody's number with it."""
    leader, follower = open_pages(context, site, own, course, 2)
    expect(number(follower)).to_have_text("2")
    until_streams(leader, own, 1)

    leader.on("dialog", lambda _: None)  # nobody answers it
    leader.evaluate("() => { setTimeout(() => alert('still here?'), 10); }")
    follower.wait_for_timeout(500)
    Others(own.url).beat(course, "bob")

    expect(number(follower)).to_have_text("3", timeout=15_000)


def test_another_person_of_the_browser_has_a_stream_of_their_own(
    context: BrowserContext, site: Site, own: rig.Service, course: str
) -> None:
    """Names that one token opens are not told to a page with another's."""
    token = "e30.{}.x"
    Others(own.url).beat(course, "bob")
    for who in ("eyJzdWIiOiJhZGEifQ", "eyJzdWIiOiJib2IifQ"):
        page = context.new_page()
        tag = badge(course, observe=True)
        script = f"document.querySelector('live-viewer-badge').getToken = () => '{token.format(who)}';"
        site.show(page, own.url, f"{tag}<script>{script}</script>")
        expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")

    until_streams(page, own, 2)
    page.wait_for_timeout(1_000)
    assert streams(own) == 2


def test_frames_that_cannot_share_leave_room_for_heartbeats(
    context: BrowserContext,
    site: Site,
    own: rig.Service,
    complaints: Complaints,
    redis_url: str,
    course: str,
) -> None:
    """Without BroadcastChannel six streams take all connections: they give way until all are heard."""
    complaints.network_may_fail = True  # who waits for too long tries again
    frames = ""
    for i in range(7):
        address = site.add(blank(own.url, badge(course, f"v{i}"), head=ALONE))
        frames += f'<iframe src="{address}" sandbox="allow-scripts"></iframe>'
    page = context.new_page()
    page.goto(site.add(f"<!doctype html><title>t</title>{frames}"))

    others = Others(own.url)
    for _ in range(300):
        if others.count(course)["total"] == 7:
            break
        page.wait_for_timeout(100)
    lowest = min(seen(page, others, course) for _ in range(250))

    assert lowest == 7
    for frame in page.frames[1:]:
        expect(frame.locator("[part=count]")).to_have_text("7", timeout=15_000)


def seen(page: Page, others: Others, course: str) -> int:
    page.wait_for_timeout(100)
    return int(others.count(course)["total"])


def test_without_any_way_to_share_each_page_listens_by_itself(
    context: BrowserContext, site: Site, shared_redis: EmbeddedServer, own: rig.Service, course: str
) -> None:
    """An old browser has no BroadcastChannel: two pages, two streams, and both are live."""
    for i in range(2):
        page = context.new_page()
        site.show(page, own.url, badge(course, f"v{i}"), head=ALONE)
        expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")

    expect(number(page)).to_have_text("2")
    until_streams(page, own, 2)
