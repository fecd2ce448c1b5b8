"""A viewer whom somebody removes: what their page shows and says until the ban is over."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect

from presence_svc.store.redis.embedded import EmbeddedServer
from tests import rig
from tests.browser.conftest import NewContext
from tests.browser.stage import (
    Others,
    Site,
    badge,
    blank,
    number,
    numbers,
    record_numbers,
    until,
    until_total,
)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]
BAN_S = 8
SESSION = """
async ([base, courseId]) => {
  const { PresenceSession } = await import(`${base}/live-viewer-badge.js`);
  const session = new PresenceSession({ courseId, viewerId: "ada", name: "Ada", baseUrl: base });
  session.subscribe(({ count, state, error }) => { window.seen = [count?.total, state, error]; });
}
"""


@pytest.fixture
def own(spawn_service: Callable[..., rig.Service], shared_redis: EmbeddedServer) -> rig.Service:
    """Heartbeats every second, so that a ban of seconds is felt."""
    return spawn_service({"PRESENCE_REDIS_URL": shared_redis.url, "PRESENCE_HEARTBEAT_INTERVAL": "1"})


def remove(service: rig.Service, course: str, viewer: str, ban_s: int = BAN_S) -> None:
    address = f"{service.url}/v1/courses/{course}/viewers/{viewer}?ban={ban_s}"
    httpx2.delete(address, timeout=5).raise_for_status()


def expect_names(page: Page, *names: str) -> None:
    page.mouse.move(0, 0)
    page.hover("live-viewer-badge")
    expect(page.locator("[part=viewer] bdi")).to_have_text(list(names))


@pytest.mark.parametrize("rest", [0, 1], ids=["alone", "with-others"])
def test_who_is_removed_is_in_no_number_until_the_ban_is_over(
    context: BrowserContext, site: Site, own: rig.Service, course: str, rest: int
) -> None:
    """S5, S6: the badge, a session without one and the list leave the viewer out, live and without a storm.

    They are back by themselves with the first heartbeat after it.
    """
    others = Others(own.url)
    for _ in range(rest):
        others.beat(course, "bob", name="Bob")
    page = context.new_page()
    beats: list[Request] = []
    page.on("request", lambda one: beats.append(one) if one.method == "POST" else None)
    site.show(page, own.url, badge(course, "ada", name="Ada", show_avatars=True))
    page.evaluate(SESSION, [own.url, course])
    expect(number(page)).to_have_text(str(rest + 1))
    until_total(page, others, course, rest + 1)
    expect_names(page, "Ada (you)", *["Bob"] * rest)

    remove(own, course, "ada")

    expect(number(page)).to_have_text(str(rest))
    expect_names(page, *["Bob"] * rest)
    until(page, f"String(seen) === '{rest},live,'")
    beats.clear()
    page.wait_for_timeout(3_000)
    assert 1 <= len(beats) <= 5
    assert {request.url.rsplit("/", 1)[1] for request in beats} == {"heartbeat"}
    expect(number(page)).to_have_text(str(rest))
    assert others.count(course)["total"] == rest

    expect(number(page)).to_have_text(str(rest + 1), timeout=15_000)
    expect_names(page, "Ada (you)", *["Bob"] * rest)
    until(page, f"String(seen) === '{rest + 1},live,'")
    assert others.count(course)["total"] == rest + 1


def test_a_page_that_is_opened_during_a_ban_is_in_no_number(
    context: BrowserContext, site: Site, own: rig.Service, course: str
) -> None:
    """Nor by a reload, nor in another tab; one that leaves meanwhile takes nobody with it."""
    others = Others(own.url)
    others.beat(course, "bob")
    address = site.add(blank(own.url, badge(course, "ada")))
    page = context.new_page()
    page.goto(address)
    until_total(page, others, course, 2)
    remove(own, course, "ada", 3_600)
    expect(number(page)).to_have_text("1")

    page.reload()
    another = context.new_page()
    record_numbers(another)
    another.goto(address)

    for one in (page, another):
        expect(number(one)).to_have_text("1")
        expect(one.locator("live-viewer-badge")).to_have_attribute("data-state", "live")
    another.wait_for_timeout(2_500)  # some heartbeats
    assert numbers(another)[-1] == "1"
    assert "0" not in numbers(another)
    another.evaluate("document.querySelector('live-viewer-badge').remove()")
    expect(number(page)).to_have_text("1")
    assert others.count(course)["total"] == 1

    remove(own, course, "ada", 0)  # the ban is lifted
    page.reload()
    expect(number(page)).to_have_text("2")


def test_what_the_removed_viewer_was_shows_elsewhere(
    new_context: NewContext, site: Site, own: rig.Service, course: str
) -> None:
    """S1: other people see the number fall at once, and rise again after the ban."""
    ada, bob = (new_context().new_page() for _ in range(2))
    site.show(ada, own.url, badge(course, "ada"))
    site.show(bob, own.url, badge(course, "bob"))
    expect(number(bob)).to_have_text("2")

    remove(own, course, "ada", 4)

    expect(number(bob)).to_have_text("1")
    expect(number(ada)).to_have_text("1")
    expect(number(bob)).to_have_text("2", timeout=15_000)
    expect(number(ada)).to_have_text("2")
