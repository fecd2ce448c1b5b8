"""Demo, dashboard and API page in a real browser: alive, on their own origin only, accessible."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect

from tests import rig
from tests.browser.conftest import Complaints, NewContext
from tests.browser.stage import Others, number

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]
SpawnService = Callable[..., rig.Service]
COURSES = ("python-101", "react-deep-dive", "redis-in-action", "design-systems")


@pytest.fixture
def stage(spawn_service: SpawnService, redis_url: str) -> rig.Service:
    """A service of the test's own, with viewers in each of the demo's courses: 3, 4, 5 and 6."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})
    others = Others(service.url)
    for size, course in enumerate(COURSES, 3):
        for i in range(size):
            others.beat(course, f"v{i}", name=f"Viewer {i}", chapter_id=f"ch-{i + 1}")
    return service


@pytest.fixture
def page(context: BrowserContext, stage: rig.Service) -> Iterator[Page]:
    """A page that must ask nobody but the service for anything."""
    asked: list[Request] = []
    page = context.new_page()
    page.on("request", lambda request: asked.append(request))
    yield page
    assert [request.url for request in asked if not request.url.startswith(stage.url)] == []


def test_the_demo_counts_its_viewer_by_chapter(page: Page, stage: rig.Service) -> None:
    """The player is present in its chapter, the list shows how many are where, and both move."""
    page.goto(f"{stage.url}/demo")

    expect(number(page, "#badge")).to_have_text("4")
    expect(page.locator("#ch-2 .here")).to_have_text("2")
    page.click("#ch-7")
    expect(page.locator("#ch-7 .here")).to_have_text("1")
    expect(page.locator("#ch-2 .here")).to_have_text("1")
    expect(page.locator("#with")).to_have_text("Just you in this chapter")
    Others(stage.url).beat("python-101", "eve", chapter_id="ch-7")
    expect(page.locator("#with")).to_have_text("You and one other in this chapter")


def test_the_demo_has_a_course_for_every_address(page: Page, stage: rig.Service) -> None:
    """A course that the demo does not have is shown as the first, without an error, also on the way back."""
    page.goto(f"{stage.url}/demo?course=unknown")

    expect(number(page, "#badge")).to_have_text("4")
    expect(page.locator("#ch-2 .here")).to_have_text("2")
    page.click(f"#course-{COURSES[1]}")
    expect(number(page, "#badge")).to_have_text("5")
    page.evaluate("history.back()")
    expect(number(page, "#badge")).to_have_text("4")


def test_the_demos_catalogue_is_live_over_one_stream(page: Page, stage: rig.Service) -> None:
    """Every course of the shelf shows its number, without being joined, over the stream of the page."""
    streams: list[Request] = []
    page.on("request", lambda request: streams.append(request) if "/v1/live?" in request.url else None)

    page.goto(f"{stage.url}/demo")

    for size, course in enumerate(COURSES[1:], 4):
        expect(number(page, f"#course-{course}")).to_have_text(str(size))
    assert len(streams) == 1
    page.click("#course-redis-in-action")
    expect(page.locator("#title")).to_have_text("Redis in action")
    expect(number(page, "#badge")).to_have_text("6")
    expect(number(page, "#course-python-101")).to_have_text("3")
    page.go_back()
    expect(page.locator("#title")).to_have_text("Python from the ground up")


def test_the_demo_opens_more_viewers(page: Page, stage: rig.Service) -> None:
    """A button brings five real viewers, another sends them home."""
    page.goto(f"{stage.url}/demo")
    expect(number(page, "#badge")).to_have_text("4")

    page.click("#more")
    expect(number(page, "#badge")).to_have_text("9")
    assert Others(stage.url).count("python-101")["total"] == 9
    page.click("#home")

    expect(number(page, "#badge")).to_have_text("4")


def test_the_demo_plays(page: Page, stage: rig.Service) -> None:
    """A progress line that moves, and the next chapter when one is over."""
    page.clock.install()
    page.goto(f"{stage.url}/demo")
    before = page.locator("#time").inner_text()

    page.click("#play")
    page.clock.run_for(3_000)
    assert page.locator("#time").inner_text() != before
    page.clock.run_for(25_000)

    expect(page.locator("#chapter")).to_have_text("Lists, tuples, sets")
    expect(page.locator("#ch-3")).to_have_attribute("aria-current", "true")


def test_the_dashboard_shows_totals_and_one_course(page: Page, stage: rig.Service) -> None:
    """Totals, the busiest first, and the chosen course with its chapters and names, all of it live."""
    page.goto(f"{stage.url}/dashboard")

    expect(page.locator("#total")).to_have_text("18")
    expect(page.locator("#active")).to_have_text("4")
    expect(page.locator(".row .name").first).to_have_text("Design systems that last")
    expect(page.locator("#detail-total")).to_have_text("6 watching")
    expect(page.locator("#viewers li")).to_have_count(6)
    page.click("[data-course='python-101']")
    expect(page.locator("#detail-total")).to_have_text("3 watching")
    expect(page.locator(".cell b")).to_have_text(["1", "1", "1", "0", "0", "0", "0", "0"])
    Others(stage.url).beat("python-101", "eve", name="Eve", chapter_id="ch-8")
    expect(page.locator(".cell b")).to_have_text(["1", "1", "1", "0", "0", "0", "0", "1"])
    expect(page.locator("#total")).to_have_text("19")
    expect(page.locator("#chart canvas")).to_be_visible()


def test_the_dashboard_says_when_the_connection_is_lost(
    page: Page, stage: rig.Service, complaints: Complaints
) -> None:
    """Old numbers are marked as old, and the mark goes when they are true again."""
    complaints.network_may_fail = True
    page.goto(f"{stage.url}/dashboard")
    expect(page.locator("#link")).to_have_text("Live")

    stage.kill()
    expect(page.locator("#link")).to_contain_text("Connection lost: numbers are from", timeout=20_000)
    expect(page.locator("#total")).to_have_text("18")
    stage.start()

    expect(page.locator("#link")).to_have_text("Live", timeout=10_000)


def test_the_dashboard_asks_for_a_key_only_when_one_is_needed(
    context: BrowserContext, stage: rig.Service, complaints: Complaints
) -> None:
    """A 401 opens the question; the key goes into the header and stays in the tab."""
    complaints.network_may_fail = True
    page = context.new_page()
    page.route(
        "**/v1/**",
        lambda route: (
            route.continue_()
            if route.request.headers.get("authorization") == "Bearer right"
            else route.fulfill(status=401, json={"title": "no"})
        ),
    )
    page.goto(f"{stage.url}/dashboard")

    page.fill("#key", "wrong")
    page.press("#key", "Enter")
    expect(page.locator("#refused")).to_be_visible()
    page.fill("#key", "right")
    page.press("#key", "Enter")

    expect(page.locator("#total")).to_have_text("18")
    expect(page.locator("#detail-total")).to_have_text("6 watching")
    assert "right" not in page.url


def test_the_api_page_shows_the_api(page: Page, stage: rig.Service) -> None:
    """Drawn from /openapi.json, with nothing from outside."""
    page.goto(f"{stage.url}/docs")

    expect(page.locator(".opblock-summary-path", has_text="heartbeat").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/demo", "/dashboard"])
def test_axe_finds_nothing_on_the_pages(
    new_context: NewContext, stage: rig.Service, axe: str, path: str, scheme: str
) -> None:
    """Contrast, names, roles and order hold in both colour schemes."""
    page = new_context(color_scheme=scheme, reduced_motion="reduce", bypass_csp=True).new_page()
    page.goto(stage.url + path)
    expect(page.locator("#badge [part=count], #detail-total").first).not_to_be_empty()
    page.wait_for_timeout(700)

    page.evaluate(axe)
    found = page.evaluate("axe.run().then((result) => result.violations)")

    assert [f"{v['id']}: {[n['target'] for n in v['nodes']]} {v['help']}" for v in found] == []


@pytest.mark.parametrize("path", ["/demo", "/dashboard"])
def test_a_narrow_screen_needs_no_sideways_scrolling(
    new_context: NewContext, stage: rig.Service, path: str
) -> None:
    """320 pixels, as WCAG asks."""
    page = new_context(viewport={"width": 320, "height": 700}).new_page()
    page.goto(stage.url + path)
    expect(page.locator("#badge [part=count], #detail-total").first).not_to_be_empty()

    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_the_pages_show_hostile_text_as_text(page: Page, stage: rig.Service) -> None:
    """H9: a course's or viewer's name is never markup on the dashboard either."""
    name = "<img src=x onerror='document.title = 1'>"
    Others(stage.url).beat("python-101", "v0", name=name, chapter_id="ch-1")

    page.goto(f"{stage.url}/dashboard?course=python-101")

    expect(page.locator("#viewers bdi", has_text="<img").first).to_have_text(name)
    assert page.locator("#viewers img").count() == 0
