"""The dashboard as it is now: totals, the list of courses, one of them live, signing in and out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests import rig
from tests.browser.conftest import Complaints
from tests.browser.pages import SpawnService
from tests.browser.stage import Others, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]
NAMES = "#courses .name bdi"
SERVICE_KEY = "a-service-key-of-the-dashboard"
CREATOR_KEY = "a-creator-key-of-the-dashboard"


def crowd(service: rig.Service, courses: int) -> None:
    """Courses `course-000` and so on: the first with two viewers, all others with one."""
    beats = [{"course_id": f"course-{n:03}", "viewer_id": "ada"} for n in range(courses)]
    beats.append({"course_id": "course-000", "viewer_id": "bob"})
    for start in range(0, len(beats), 1_000):
        some = {"heartbeats": beats[start : start + 1_000]}
        httpx2.post(f"{service.url}/v1/heartbeats", json=some, timeout=20).raise_for_status()


def test_it_shows_totals_and_one_course(page: Page, stage: rig.Service) -> None:
    """Totals, people, the busiest first, the chosen course with its chapters and names, all live."""
    page.goto(f"{stage.url}/dashboard")

    expect(page.locator("#total")).to_have_text("18")
    expect(page.locator("#people")).to_have_text("6")  # S14: v0 to v5, each in several courses
    expect(page.locator("#active")).to_have_text("4")
    expect(page.locator(NAMES).first).to_have_text("design-systems")
    expect(page.locator("#detail-total")).to_have_text("6 watching")
    expect(page.locator("#viewers li")).to_have_count(6)
    page.click("[data-course='python-101']")
    expect(page.locator("#detail-total")).to_have_text("3 watching")
    expect(page.locator(".cell")).to_have_text(["1ch-1", "1ch-2", "1ch-3"])
    Others(stage.url).beat("python-101", "eve", name="Eve", chapter_id="ch-10")
    expect(page.locator(".cell")).to_have_text(["1ch-1", "1ch-2", "1ch-3", "1ch-10"])
    expect(page.locator("#total")).to_have_text("19")
    expect(page.locator("#people")).to_have_text("7")
    expect(page.locator("#all-chart canvas")).to_be_visible()
    page.click("text=The last minutes as a table")
    expect(page.locator("#all-table tbody tr")).to_have_text([re.compile("19$"), re.compile("18$")])


def test_the_keyboards_focus_survives_updates(page: Page, stage: rig.Service) -> None:
    """Rows are brought up to date in place: whoever is on a row stays there, also when it moves up."""
    page.goto(f"{stage.url}/dashboard")
    row = page.locator("[data-course='python-101']")
    row.focus()
    page.evaluate("document.activeElement.mark = 1; window.blurs = 0")
    page.evaluate("document.activeElement.addEventListener('blur', () => window.blurs++)")

    for i in range(9):
        Others(stage.url).beat("python-101", f"more{i}")
    expect(page.locator(NAMES).first).to_have_text("python-101")
    expect(row.locator(".number")).to_have_text("12")

    assert page.evaluate("[document.activeElement.mark, window.blurs]") == [1, 0]
    page.keyboard.press("Enter")
    expect(page.locator("#detail-title")).to_have_text("python-101")


def test_lists_that_scroll_can_be_reached_and_scrolled(page: Page, stage: rig.Service) -> None:
    """By the keyboard alone: the courses, the viewers."""
    crowd(stage, 60)
    page.goto(f"{stage.url}/dashboard")
    expect(page.locator("#courses li")).to_have_count(50)

    page.locator("#courses").focus()
    page.keyboard.press("End")

    until(page, "document.getElementById('courses').scrollTop > 100")
    assert page.locator("#viewers").get_attribute("tabindex") == "0"


def test_courses_are_searched_and_paged(page: Page, stage: rig.Service) -> None:
    """Hundreds of them: by pages of fifty, and by a part of the id."""
    crowd(stage, 120)
    page.goto(f"{stage.url}/dashboard")
    expect(page.locator("#courses li")).to_have_count(50)
    expect(page.locator("#previous-page")).to_be_disabled()

    page.click("#next-page")
    page.click("#next-page")
    expect(page.locator("#page-number")).to_have_text("Page 3")
    expect(page.locator("#courses li")).to_have_count(24)
    expect(page.locator("#next-page")).to_be_disabled()
    page.fill("#search", "RSE-11")
    expect(page.locator(NAMES)).to_have_text([f"course-{n}" for n in range(110, 120)])
    expect(page.locator("#pages")).to_be_hidden()
    page.fill("#search", "nothing like it")
    expect(page.locator("#nobody")).to_have_text("No course has “nothing like it” in its id or title.")
    page.fill("#search", "")
    expect(page.locator("#courses li")).to_have_count(50)


def test_thousands_of_courses(page: Page, stage: rig.Service) -> None:
    """Three thousand: a poll brings a page of them, pages follow each other, any one is found and opened."""
    crowd(stage, 3_000)
    sizes: list[int] = []
    page.on("response", lambda got: sizes.append(len(got.body())) if "v1/stats" in got.url else None)
    page.goto(f"{stage.url}/dashboard")
    expect(page.locator("#active")).to_have_text("3,004")
    expect(page.locator("#total")).to_have_text("3,019")
    seen: list[str] = []
    for number in range(1, 5):
        expect(page.locator("#page-number")).to_have_text(f"Page {number}")
        expect(page.locator(NAMES)).to_have_count(50)
        seen += page.locator(NAMES).all_inner_texts()
        page.click("#next-page")
        expect(page.locator(NAMES).first).not_to_have_text(seen[-50])
    page.fill("#search", "course-2999")
    expect(page.locator(NAMES)).to_have_text(["course-2999"])
    page.click("[data-course='course-2999']")
    expect(page.locator("#detail-title")).to_have_text("course-2999")
    expect(page.locator("#detail-total")).to_have_text("1 watching")

    assert len(set(seen)) == 200
    assert seen[4:6] == ["course-000", "course-001"]
    assert max(sizes) < 10_000


def test_titles_come_from_the_operator_or_are_the_ids(
    page: Page, spawn_service: SpawnService, redis_url: str, tmp_path: Path
) -> None:
    """PRESENCE_TITLES_URL names courses and chapters; all else has its id, never a title of the demo."""
    titles = tmp_path / "titles.json"
    named = {"python-101": {"title": "Snakes & ladders", "chapters": {"ch-1": "First", "ch-2": "<b>"}}}
    titles.write_text(json.dumps(named))
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url, "PRESENCE_TITLES_URL": str(titles)})
    for course in ("python-101", "react-deep-dive"):
        Others(service.url).beat(course, "ada", chapter_id="ch-1")
    page.goto(f"{service.url}/dashboard?course=python-101")

    expect(page.locator(NAMES)).to_have_text(["Snakes & ladders", "react-deep-dive"])
    expect(page.locator("#detail-title")).to_have_text("Snakes & ladders")
    expect(page.locator("#detail-id")).to_have_text("python-101")
    expect(page.locator(".cell")).to_have_text(["1First", "0<b>"])
    page.fill("#search", "snakes")
    expect(page.locator(NAMES)).to_have_text(["Snakes & ladders"])


def test_the_roster_keeps_its_order(page: Page, stage: rig.Service) -> None:
    """In the order of joining: who beats again does not jump, who comes is last, who goes leaves a gap."""
    others = Others(stage.url)
    page.goto(f"{stage.url}/dashboard?course=python-101")
    names = page.locator("#viewers bdi")
    expect(names).to_have_text(["Viewer 0", "Viewer 1", "Viewer 2"])
    page.evaluate("document.querySelector('#viewers li').mark = 1")

    others.beat("python-101", "v2", name="Viewer 2", chapter_id="ch-9")
    others.beat("python-101", "a-late-one", name="Late")
    others.leave("python-101", "v1")

    expect(names).to_have_text(["Viewer 0", "Viewer 2", "Late"], timeout=15_000)
    expect(page.locator("#viewers .who span").nth(1)).to_have_text("ch-9")
    assert page.evaluate("document.querySelector('#viewers li').mark") == 1


def test_the_roster_of_thirty_who_come_and_go_moves_nobody(
    page: Page, spawn_service: SpawnService, redis_url: str
) -> None:
    """Whoever stays keeps their place and their element; who comes is below."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})
    others = Others(service.url)
    here = [f"v{i:02}" for i in range(30)]
    for viewer in here:
        others.beat("c1", viewer, name=viewer.upper())
    page.goto(f"{service.url}/dashboard?course=c1")
    names = page.locator("#viewers bdi")
    expect(names).to_have_text([viewer.upper() for viewer in here])
    page.evaluate("for (const one of document.querySelectorAll('#viewers li')) one.mark = one.textContent")

    for turn in range(20):
        others.leave("c1", here.pop((turn * 11) % len(here)))
        here.append(f"w{turn:02}")
        others.beat("c1", here[-1], name=here[-1].upper())
        others.beat("c1", here[(turn * 7) % 20], name=here[(turn * 7) % 20].upper())

    expect(names).to_have_text([viewer.upper() for viewer in here], timeout=15_000)
    marks = page.evaluate("[...document.querySelectorAll('#viewers li')].map((one) => Boolean(one.mark))")
    assert marks == [viewer.startswith("v") for viewer in here]


def test_a_service_that_has_only_begun_is_counting(
    page: Page, spawn_service: SpawnService, redis_url: str
) -> None:
    """S11: no dash and no false zero for the first minute; a number that may be too low says so."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})
    page.goto(f"{service.url}/dashboard")

    expect(page.locator("#total")).to_have_text("counting…")
    Others(service.url).beat("c1", "ada")
    expect(page.locator("#total")).to_have_text("1")
    expect(page.locator("#warming")).to_contain_text("Still counting")


def test_it_says_when_the_connection_is_lost(page: Page, stage: rig.Service, complaints: Complaints) -> None:
    """Old numbers are marked as old, and the mark goes when they are true again."""
    complaints.network_may_fail = True
    page.goto(f"{stage.url}/dashboard")
    expect(page.locator("#link")).to_have_text("Live")

    stage.kill()
    expect(page.locator("#link")).to_contain_text("Connection lost: numbers are from", timeout=20_000)
    expect(page.locator("#total")).to_have_text("18")
    stage.start()

    expect(page.locator("#link")).to_have_text("Live", timeout=10_000)


@pytest.fixture
def guarded(spawn_service: SpawnService, redis_url: str) -> rig.Service:
    """AUTH=jwt: a service's key, and a creator's to two of three courses."""
    service = spawn_service(
        {
            "PRESENCE_REDIS_URL": redis_url,
            "PRESENCE_AUTH": "jwt",
            "PRESENCE_JWT_SECRET": "0123456789abcdef0123456789abcdef",
            "PRESENCE_SERVICE_KEYS": SERVICE_KEY,
            "PRESENCE_CREATOR_KEYS": f"{CREATOR_KEY} mine-1 mine-2",
        }
    )
    for course in ("mine-1", "mine-2", "other"):
        Others(service.url, SERVICE_KEY).beat(course, "ada", name="Ada")
    return service


def sign_in(page: Page, key: str) -> None:
    page.fill("#key", key)
    page.press("#key", "Enter")


def test_creators_sign_in_and_out(page: Page, guarded: rig.Service, complaints: Complaints) -> None:
    """A creator sees their courses only; a key is in no address, and nothing stays after signing out."""
    complaints.network_may_fail = True
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{guarded.url}/dashboard")
    expect(page.locator("#board")).to_be_hidden()
    sign_in(page, "wrong")
    expect(page.locator("#refused")).to_have_text("That was not accepted.")

    sign_in(page, CREATOR_KEY)
    expect(page.locator(NAMES)).to_have_text(["mine-1", "mine-2"])
    expect(page.locator("#total")).to_have_text("2")
    expect(page.locator("#detail-total")).to_have_text("1 watching")
    expect(page.locator("#viewers bdi")).to_have_text(["Ada"])
    expect(page.locator("#calendar td").first).to_be_attached()
    page.reload()
    expect(page.locator(NAMES)).to_have_text(["mine-1", "mine-2"])
    page.click("#sign-out")

    expect(page.locator("#signed-out")).to_be_visible()
    assert page.locator("#viewers li, #courses li").count() == 0
    assert page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [0, 0, ""]
    assert [url for url in [*asked, page.url] if CREATOR_KEY in url] == []


def test_a_service_key_opens_all_courses(page: Page, guarded: rig.Service) -> None:
    """Without an error before: the page knows that it must ask."""
    page.goto(f"{guarded.url}/dashboard")

    sign_in(page, f"Bearer {SERVICE_KEY}")

    expect(page.locator(NAMES)).to_have_text(["mine-1", "mine-2", "other"])
    page.click("[data-course='other']")
    expect(page.locator("#detail-total")).to_have_text("1 watching")


def test_whoever_signs_in_later_can(page: Page, guarded: rig.Service) -> None:
    """The question can be put off, and asked for again."""
    page.goto(f"{guarded.url}/dashboard")
    page.click("#not-now")
    expect(page.locator("#ask")).to_be_hidden()

    page.click("#sign-in")
    sign_in(page, SERVICE_KEY)

    expect(page.locator("#total")).to_have_text("3")


def test_hostile_text_is_shown_as_text(page: Page, stage: rig.Service) -> None:
    """H9: a course's or viewer's name is never markup on the dashboard either."""
    name = "<img src=x onerror='document.title = 1'>"
    Others(stage.url).beat("python-101", "v0", name=name, chapter_id="ch-1")

    page.goto(f"{stage.url}/dashboard?course=python-101")

    expect(page.locator("#viewers bdi", has_text="<img").first).to_have_text(name)
    assert page.locator("#viewers img").count() == 0
