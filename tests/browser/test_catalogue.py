"""Pages with many badges: any number of courses, ids of any length, names where they may be, few bytes."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect
from redis import Redis

from presence_svc.store.keys import Keys
from presence_svc.store.redis.embedded import EmbeddedServer
from tests import rig
from tests.browser.conftest import Complaints, NewPage
from tests.browser.nginx import nginx
from tests.browser.stage import Others, Proxy, Site, badge, number, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture
def front(service: rig.Service) -> Iterator[str]:
    with nginx(service.port) as url:
        yield f"{url}/presence"


def long_ids(course: str, n: int) -> list[str]:
    """As long as an id may be."""
    return [f"{course}.{i}.".ljust(128, "x") for i in range(n)]


def expect_all(page: Page, n: int, text: str, timeout_ms: int = 20_000) -> None:
    until(
        page,
        """([n, text]) => {
          const badges = [...document.querySelectorAll("live-viewer-badge")];
          const shown = badges.map((one) => one.shadowRoot.querySelector("[part=count]").textContent);
          return shown.filter((one) => one === text).length === n;
        }""",
        [n, text],
        timeout_ms,
    )


def crowd(others: Others, ids: list[str], viewer: str) -> None:
    """A viewer in many courses, said again where a busy Redis did not answer in time."""
    beats = [{"course_id": each, "viewer_id": viewer} for each in ids]
    for _ in range(20):
        reply = httpx2.post(f"{others.url}/v1/heartbeats", json={"heartbeats": beats}, timeout=10)
        results = reply.raise_for_status().json()["results"]
        beats = [beat for beat, result in zip(beats, results, strict=True) if "total" not in result]
        if not beats:
            return
    raise AssertionError(f"{len(beats)} heartbeats were refused")


@pytest.mark.parametrize(("n", "held"), [(250, ""), (450, ""), (250, "whole")])
def test_a_catalogue_of_any_size_has_all_its_numbers(
    context: BrowserContext,
    site: Site,
    proxy: Proxy,
    others: Others,
    complaints: Complaints,
    course: str,
    n: int,
    held: str,
) -> None:
    """More than a stream carries, also by polling: each number comes, and follows."""
    complaints.network_may_fail = True  # a service without the POST is asked once
    ids = [f"{course}.{i}" for i in range(n)]
    crowd(others, ids, "bob")
    proxy.held = held
    page = context.new_page()
    site.show(page, proxy.url, "".join(badge(each, observe=True) for each in ids))

    expect_all(page, n, "1")
    crowd(others, ids, "eve")
    expect_all(page, n, "2")


@pytest.mark.parametrize("held", ["", "whole"])
def test_long_ids_pass_a_default_nginx(
    context: BrowserContext,
    site: Site,
    service: rig.Service,
    front: str,
    others: Others,
    complaints: Complaints,
    course: str,
    held: str,
) -> None:
    """A hundred ids of 128 characters are more than the 8 KiB of request line that nginx takes."""
    complaints.network_may_fail = True
    ids = long_ids(course, 100)
    crowd(others, ids, "bob")
    page = context.new_page()
    if held:
        page.route("**/v1/live?*", lambda route: None)
        page.route("**/v1/live", lambda route: None)
    too_long: list[int] = []
    page.on("response", lambda response: too_long.append(response.status) if response.status == 414 else None)
    site.show(page, front, "".join(badge(each, observe=True) for each in ids))

    expect_all(page, 100, "1")
    crowd(others, ids, "eve")
    expect_all(page, 100, "2")
    assert too_long == []


def test_a_badge_asks_for_no_chapters_unless_told_to(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """Hundreds of chapters would be most of what a total costs; `chapters` brings them."""
    others.beat(course, "bob", chapter_id="ch-9")
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/v1/live" in request.url or "/v1/counts" in request.url:
            asked.append(request.url + (request.post_data or ""))

    page = context.new_page()
    page.on("request", note)
    site.show(page, service.url, badge(course, observe=True))
    expect(number(page)).to_have_text("1")
    assert asked
    assert all("chapters=none" in url for url in asked)
    asked.clear()

    page.evaluate("document.querySelector('live-viewer-badge').chapters = true")

    until(page, "document.querySelector('live-viewer-badge').count?.chapters['ch-9'] === 1")
    assert not any("chapters=none" in url for url in asked)


def test_page_with_badges_that_share_one_long_list_is_one_stream_for_few(
    open_page: NewPage, shared_redis: EmbeddedServer
) -> None:
    """A hundred short ids are still one stream, and nobody in any of them is a number that is known (S11)."""
    with Redis.from_url(shared_redis.url) as redis:
        redis.set(Keys("presence").partitions[0].since, 1)  # else it is warming
    asked: list[str] = []
    ids = [f"c{i}" for i in range(100)]
    page = open_page("")
    page.on("request", lambda request: asked.append(request.url) if "/v1/live" in request.url else None)
    page.evaluate(
        """(ids) => {
          for (const courseId of ids) {
            const badge = document.createElement("live-viewer-badge");
            document.querySelector("main").append(Object.assign(badge, { courseId, observe: true }));
          }
        }""",
        ids,
    )
    expect(page.locator("live-viewer-badge").last).to_have_attribute("data-state", "live")
    page.wait_for_timeout(500)

    assert len(asked) == 1
