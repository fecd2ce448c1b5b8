"""A proxy or virus scanner that holds streams back: noticed, and reads bring the number until one works."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Page, Request, Route, expect

from tests import rig
from tests.browser.conftest import Complaints, NewPage
from tests.browser.stage import Others, Proxy, Site, badge, number, until_holds

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def expect_a_stream_alone(page: Page, others: Others, course: str, own: int) -> None:
    """Within a minute or so a stream works again, and nothing is read beside it."""
    reads: list[Request] = []
    page.on("request", lambda request: reads.append(request) if "/v1/counts" in request.url else None)
    for _ in range(60):
        page.wait_for_timeout(1_000)
        others.beat(course, "bob")  # whose lease would end meanwhile
        others.beat(course, "joe")
        expect(number(page)).to_have_text(str(2 + own), timeout=10_000)
        reads.clear()
        page.wait_for_timeout(8_000)
        if not reads:
            break
    assert not reads  # the stream is enough
    others.leave(course, "joe")
    expect(number(page)).to_have_text(str(1 + own), timeout=3_000)


@pytest.mark.parametrize("held", ["body", "whole"])
@pytest.mark.parametrize("observe", [True, False], ids=["observer", "viewer"])
def test_a_stream_that_is_held_back_is_noticed(
    open_page: NewPage,
    others: Others,
    proxy: Proxy,
    complaints: Complaints,
    course: str,
    held: str,
    observe: bool,
) -> None:
    """Within ten seconds the number follows, and it is a true one; a stream that works again is taken."""
    complaints.network_may_fail = True
    own = 0 if observe else 1
    others.beat(course, "bob")
    proxy.held = held
    page = open_page(badge(course, "" if observe else "ada", observe=observe), base_url=proxy.url)

    expect(number(page)).to_have_text(str(1 + own), timeout=10_000)
    expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live", timeout=10_000)
    others.beat(course, "eve")
    expect(number(page)).to_have_text(str(2 + own), timeout=10_000)
    others.leave(course, "eve")
    expect(number(page)).to_have_text(str(1 + own), timeout=10_000)

    proxy.held = ""
    expect_a_stream_alone(page, others, course, own)


@pytest.mark.parametrize("observe", [True, False], ids=["observer", "viewer"])
def test_a_stream_that_is_held_back_after_its_first_bytes_is_noticed(
    open_page: NewPage, others: Others, proxy: Proxy, complaints: Complaints, course: str, observe: bool
) -> None:
    """The badge is live at once, and within ten seconds it reads what the stream keeps from it."""
    complaints.network_may_fail = True
    own = 0 if observe else 1
    others.beat(course, "bob")
    proxy.held = "rest"
    page = open_page(badge(course, "" if observe else "ada", observe=observe), base_url=proxy.url)
    expect(number(page)).to_have_text(str(1 + own))
    page.wait_for_timeout(1_000)  # from here on the stream says nothing

    for viewer in ("eve", "zoe"):
        others.beat(course, viewer)
        expect(number(page)).to_have_text(str(2 + own), timeout=10_000)
        others.leave(course, viewer)
        expect(number(page)).to_have_text(str(1 + own), timeout=10_000)
        expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")

    proxy.held = ""
    expect_a_stream_alone(page, others, course, own)


def without_ping(route: Route) -> None:
    route.continue_(url=route.request.url.replace("&ping=7", ""))


@pytest.mark.parametrize(("service_of", "comments"), [("now", 1), ("now", 3), ("before", 1)])
def test_a_stream_that_worked_and_is_held_back_is_noticed(
    context: BrowserContext,
    site: Site,
    service: rig.Service,
    others: Others,
    proxy: Proxy,
    complaints: Complaints,
    course: str,
    service_of: str,
    comments: int,
) -> None:
    """Right after a comment, on a page that only listens: within 10 s, or 18 s of a service of before.

    That one knows no `ping`, and sends a comment every 15 s.
    """
    complaints.network_may_fail = True
    others.beat(course, "bob")
    page = context.new_page()
    if service_of == "before":
        page.route(
            "**/v1/live?*", lambda route: route.continue_(url=route.request.url.replace("&ping=7", ""))
        )
    site.show(page, service.url, badge(course, observe=True, base_url=proxy.url))
    expect(number(page)).to_have_text("1")
    until_holds(page, lambda: proxy.comments >= comments, 60_000)
    proxy.held = "rest"

    others.beat(course, "eve")

    expect(number(page)).to_have_text("2", timeout=12_000 if service_of == "now" else 20_000)
    expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")
    others.leave(course, "eve")
    expect(number(page)).to_have_text("1", timeout=10_000)


def test_a_heartbeat_tells_of_a_stream_that_is_held_back(
    open_page: NewPage, others: Others, proxy: Proxy, complaints: Complaints, course: str
) -> None:
    """Its reply has another number, which the stream does not bring: counts are read without waiting."""
    complaints.network_may_fail = True
    page = open_page(badge(course, "ada"), base_url=proxy.url)
    expect(number(page)).to_have_text("1")
    page.wait_for_timeout(7_000)
    others.beat(course, "bob")
    expect(number(page)).to_have_text("2", timeout=3_000)

    proxy.held = "rest"
    others.beat(course, "eve")
    page.wait_for_timeout(1_000)
    page.evaluate("document.querySelector('live-viewer-badge').name = 'Ada'")  # says so at once

    expect(number(page)).to_have_text("3", timeout=9_000)


def test_a_quiet_stream_is_not_suspected(open_page: NewPage, others: Others, course: str) -> None:
    """A few reads until a comment has come; then none, one stream, and no other state than live."""
    page = open_page(badge(course, "ada"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")
    page.evaluate(
        """
        window.states = [];
        const badge = document.querySelector("live-viewer-badge");
        new MutationObserver(() => states.push(badge.dataset.state)).observe(badge, { attributes: true });
        """
    )
    page.wait_for_timeout(20_000)
    assert len([url for url in asked if "/v1/counts" in url]) <= 3
    asked.clear()
    page.wait_for_timeout(36_000)

    assert [url for url in asked if "/heartbeat" not in url] == []
    assert page.evaluate("states.filter((state) => state !== 'live')") == []
    others.beat(course, "bob")
    expect(number(page)).to_have_text("2", timeout=3_000)
