"""Where the service is: known from where the module came from, and said once where it cannot be known."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import BrowserContext, Response, expect

from tests import rig
from tests.browser.conftest import Complaints
from tests.browser.nginx import nginx
from tests.browser.stage import Others, Site, badge, number

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]


@pytest.fixture
def front(service: rig.Service) -> Iterator[str]:
    """The service below /presence/."""
    with nginx(service.port) as url:
        yield url


def two_lines(module: str, course: str) -> str:
    """As the README has them."""
    return f'<!doctype html><title>t</title><script type="module" src="{module}"></script>{badge(course)}'


@pytest.mark.parametrize(
    "path",
    [
        "/presence/live-viewer-badge.js",
        "/presence/@VERSION/live-viewer-badge.js",
        "/assets/badge.js",
        "/presence/static/src/index.js",
    ],
    ids=["current", "versioned", "redirected", "sources"],
)
def test_two_lines_work_below_a_path(
    front: str, context: BrowserContext, site: Site, others: Others, course: str, path: str
) -> None:
    """Without base-url: also by the path that never changes, and where a page's own address redirects."""
    version = httpx2.get(f"{front}/presence/openapi.json").json()["info"]["version"]
    page = context.new_page()
    page.goto(site.add(two_lines(front + path.replace("VERSION", version), course)))

    expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")
    others.beat(course, "bob")
    expect(number(page)).to_have_text("2")


@pytest.mark.parametrize("path", ["demo", "dashboard", "docs"])
def test_pages_find_their_files_below_a_path(front: str, context: BrowserContext, path: str) -> None:
    """Every file and every request of demo, dashboard and docs stays below the path, and is there."""
    seen: list[tuple[int, str]] = []
    page = context.new_page()

    def note(response: Response) -> None:
        seen.append((response.status, response.url))

    page.on("response", note)
    page.goto(f"{front}/presence/{path}")
    page.wait_for_timeout(2_500)

    assert len(seen) > 3
    assert [one for one in seen if one[0] >= 400 or not one[1].startswith(f"{front}/presence/")] == []
    links = page.locator("header a").evaluate_all("(all) => all.map((one) => one.href)")
    assert [link for link in links if not link.startswith(f"{front}/presence/")] == []


WARNING = "Set base-url (baseUrl in JavaScript) to the address of the presence service."


@pytest.mark.parametrize(
    "name", ["/assets/index-1a2b3c.js", "/vendor/live-viewer-badge.js"], ids=["bundled", "copied"]
)
def test_a_bundle_says_once_what_to_set(
    context: BrowserContext,
    site: Site,
    complaints: Complaints,
    course: str,
    name: str,
) -> None:
    """In a bundle, or copied, the module cannot know: one warning names the attribute."""
    complaints.network_may_fail = True
    text = (rig.ROOT / "presence_svc/badge/live-viewer-badge.js").read_text()
    site.add(text, name, "text/javascript")
    page = context.new_page()
    page.goto(site.add(two_lines(name, course) + badge(f"{course}.b") + badge(f"{course}.c", observe=True)))
    page.wait_for_timeout(2_500)

    (warning,) = complaints.unexpected()
    assert warning.endswith(WARNING)
    assert site.url in warning
    complaints.heard.clear()


def test_base_url_needs_no_warning(
    context: BrowserContext, site: Site, service: rig.Service, course: str
) -> None:
    """With base-url a bundle is as good as the served module."""
    text = (rig.ROOT / "presence_svc/badge/live-viewer-badge.js").read_text()
    site.add(text, "/assets/index-1a2b3c.js", "text/javascript")
    page = context.new_page()
    tag = badge(course, base_url=f"{service.url}/")
    script = '<script type="module" src="/assets/index-1a2b3c.js"></script>'
    page.goto(site.add(f"<!doctype html><title>t</title>{script}{tag}"))

    expect(number(page)).to_have_text("1")
