"""Demo and API page in a real browser, and what holds for all pages: own origin only, accessible, narrow."""

from __future__ import annotations

import re
from time import time

import pytest
from joserfc import jwk, jwt
from playwright.sync_api import Page, Request, expect

from tests import rig
from tests.browser.conftest import NewContext
from tests.browser.pages import COURSES, SpawnService, fill
from tests.browser.stage import Others, number

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]
SHOWN = "#badge [part=count], #detail-total, .opblock-summary-path"
SECRET = "0123456789abcdef0123456789abcdef"


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


def test_the_api_page_shows_the_api(page: Page, stage: rig.Service) -> None:
    """Drawn from /openapi.json, with nothing from outside."""
    page.goto(f"{stage.url}/docs")

    expect(page.locator(".opblock-summary-path", has_text="heartbeat").first).to_be_visible()


def test_the_api_page_has_themes_and_a_way_back(page: Page, stage: rig.Service) -> None:
    """Light and dark by a switch that is kept, and links to the other pages."""
    page.goto(f"{stage.url}/docs")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)

    page.click("[data-theme-switch]")
    dark = page.evaluate(background)
    page.reload()
    expect(page.locator("html")).to_have_class("dark-mode")

    assert sum(map(int, re.findall(r"\d+", light))) > 600 > 200 > sum(map(int, re.findall(r"\d+", dark)))
    page.click("nav >> text=Dashboard")
    expect(page.locator("#total")).to_have_text("18")


def test_pages_say_what_is_missing_where_viewers_need_tokens(
    page: Page, spawn_service: SpawnService, redis_url: str
) -> None:
    """AUTH=jwt: no zeros on the demo, which counts whoever gives a token; words on the API page."""
    service = spawn_service(
        {"PRESENCE_REDIS_URL": redis_url, "PRESENCE_AUTH": "jwt", "PRESENCE_JWT_SECRET": SECRET}
    )
    page.goto(f"{service.url}/demo")

    expect(page.locator("#missing")).to_contain_text("PRESENCE_AUTH=jwt")
    expect(page.locator("#note")).to_have_text("not available")
    expect(page.locator("#chapters .here")).to_have_text(["\u2013"] * 8)
    expect(page.locator("#with")).to_be_empty()
    page.fill(
        "#token",
        jwt.encode({"alg": "HS256"}, {"sub": "ada", "exp": time() + 600}, jwk.OctKey.import_key(SECRET)),
    )
    page.click("text=Watch with it")
    expect(page.locator("#missing")).to_be_hidden()
    expect(number(page, "#badge")).to_have_text("1")
    expect(page.locator("#ch-2 .here")).to_have_text("1")

    page.goto(f"{service.url}/docs")
    expect(page.locator("#missing")).to_contain_text("PRESENCE_AUTH=jwt")


@pytest.mark.parametrize("path", ["demo", "dashboard", "docs"])
def test_pages_work_below_a_path(page: Page, spawn_service: SpawnService, redis_url: str, path: str) -> None:
    """All that a page loads and asks for is below the path too."""
    service = fill(spawn_service({"PRESENCE_REDIS_URL": redis_url, "PRESENCE_ROOT_PATH": "/presence"}))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto(f"{service.url}/presence/{path}")
    expect(page.locator(SHOWN).first).not_to_be_empty()
    page.click("nav >> text=Dashboard")
    expect(page.locator("#total")).to_have_text("19" if path == "demo" else "18")

    assert [url for url in asked if not url.startswith(f"{service.url}/presence/")] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/demo", "/dashboard", "/docs"])
def test_axe_finds_nothing_on_the_pages(
    new_context: NewContext, stage_with_past: rig.Service, axe: str, path: str, scheme: str
) -> None:
    """Contrast, names, roles and order hold in both colour schemes."""
    page = new_context(color_scheme=scheme, reduced_motion="reduce", bypass_csp=True).new_page()
    page.goto(stage_with_past.url + path)
    expect(page.locator(SHOWN).first).not_to_be_empty()
    if path == "/dashboard":
        expect(page.locator("#calendar td").first).to_be_attached()
        page.click("text=The numbers as a table")
    page.wait_for_timeout(700)

    page.evaluate(axe)
    found = page.evaluate("axe.run().then((result) => result.violations)")

    assert [f"{v['id']}: {[n['target'] for n in v['nodes']]} {v['help']}" for v in found] == []


@pytest.mark.parametrize("path", ["/demo", "/dashboard", "/docs"])
def test_a_narrow_screen_needs_no_sideways_scrolling(
    new_context: NewContext, stage: rig.Service, path: str
) -> None:
    """320 pixels, as WCAG asks."""
    page = new_context(viewport={"width": 320, "height": 700}).new_page()
    page.goto(stage.url + path)
    expect(page.locator(SHOWN).first).not_to_be_empty()

    assert page.evaluate("document.documentElement.scrollWidth") == 320
    if path == "/demo":  # nothing lies over the chapter's title
        edges = (
            "(all) => all.map((one) => { const r = one.getBoundingClientRect(); return [r.top, r.bottom]; })"
        )
        (_, play_ends), (title_begins, _) = page.locator(".play, .screen h2").evaluate_all(
            f"(all) => ({edges})(all.sort((a) => (a.matches('.play') ? -1 : 1)))"
        )
        assert play_ends <= title_begins
