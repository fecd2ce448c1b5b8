"""A proxy or virus scanner that holds streams back: noticed, and reads bring the number until one works."""

from __future__ import annotations

import pytest
from playwright.sync_api import Request, expect

from tests.browser.conftest import Complaints, NewPage
from tests.browser.stage import Others, Proxy, badge, number

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


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
    reads: list[Request] = []
    for _ in range(60):
        page.wait_for_timeout(1_000)
        others.beat(course, "joe")
        expect(number(page)).to_have_text(str(2 + own), timeout=10_000)
        reads.clear()
        page.on("request", lambda request: reads.append(request) if "/v1/counts" in request.url else None)
        page.wait_for_timeout(8_000)
        if not reads:
            break
    assert not reads  # the stream is enough
    others.leave(course, "joe")
    expect(number(page)).to_have_text(str(1 + own), timeout=3_000)
