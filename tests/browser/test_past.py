"""The dashboard's pictures of what was: read by pointer, keyboard and screen reader, and on paper."""

from __future__ import annotations

import csv
import re
from itertools import pairwise
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, Route, expect

from tests import rig
from tests.browser.conftest import Complaints, NewContext
from tests.browser.pages import SpawnService, fill, write_past

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]
COURSE = "python-101"


@pytest.fixture
def board(page: Page, stage_with_past: rig.Service) -> Page:
    page.goto(f"{stage_with_past.url}/dashboard?course={COURSE}")
    expect(page.locator("#past-chart canvas")).to_be_visible()
    return page


def choose(page: Page, text: str) -> None:
    page.click(f"#ranges label:has-text('{text}')")


def test_today_7_and_28_days_stand_beside_now(board: Page) -> None:
    """Each has its picture, peak today, and a table behind it; the choice is in the address."""
    board.click("text=The numbers as a table")
    rows = board.locator("#past-table tbody tr")
    expect(rows.first).to_contain_text("so far")
    expect(board.locator("#facts dt").first).to_have_text("Peak today")

    choose(board, "7 days")
    expect(board.locator("#facts")).to_contain_text("Watched in 7 days")
    expect(rows.nth(100)).to_be_attached()
    choose(board, "28 days")
    expect(rows).to_have_count(28)
    expect(rows.last).to_contain_text("not known")
    board.reload()

    expect(board.locator("[value='28d']")).to_be_checked()
    label = re.compile(r"Viewers in 28 days: at most \d+")
    expect(board.locator("#past-chart")).to_have_attribute("aria-label", label)


def test_the_number_of_now_is_in_the_picture(page: Page, stage_with_past: rig.Service) -> None:
    """Also when it comes just after the picture was drawn, and no other for long: it is the peak of today."""
    beats = [{"course_id": COURSE, "viewer_id": f"m{n}"} for n in range(400)]
    httpx2.post(
        f"{stage_with_past.url}/v1/heartbeats", json={"heartbeats": beats}, timeout=20
    ).raise_for_status()
    held: list[Route] = []
    page.route(re.compile(r"/live(\?|$)"), lambda route: held.append(route))
    page.goto(f"{stage_with_past.url}/dashboard?course={COURSE}")
    expect(page.locator("#facts")).to_contain_text("Peak today")
    for route in held:
        route.continue_()

    expect(page.locator("#facts dd").first).to_have_text("403")


def test_the_picture_is_read_by_pointer_and_keyboard(board: Page) -> None:
    """Hover and arrow keys write the values of a step under the picture."""
    choose(board, "7 days")
    readout = board.locator("#past-readout")
    value = re.compile(r"^\w{3}, .*: average [\d.,]+, peak \d+")
    board.locator("#past-chart .u-over").hover(position={"x": 120, "y": 40})
    expect(readout).to_have_text(value)
    board.mouse.move(0, 0)

    board.locator("#past-chart").focus()
    board.keyboard.press("Home")
    expect(readout).to_have_text(value)
    first = readout.inner_text()
    board.keyboard.press("ArrowRight")

    expect(readout).not_to_have_text(first)


def test_it_is_compared_with_last_week(board: Page) -> None:
    """A button adds the week before as a line, to the readout and to the key."""
    choose(board, "7 days")
    expect(board.locator("#facts")).to_contain_text("since the week before, up to this time")
    expect(board.locator("#facts")).to_contain_text(re.compile(r"Change[+-]?\d+%"))
    board.click("#compare")

    expect(board.locator("#compare")).to_have_attribute("aria-pressed", "true")
    expect(board.locator("#key-before")).to_contain_text("the week before")
    board.locator("#past-chart").focus()
    board.keyboard.press("Home")
    expect(board.locator("#past-readout")).to_contain_text("before: average")


def test_the_calendar_is_a_table_in_the_readers_zone(
    new_context: NewContext, stage_with_past: rig.Service
) -> None:
    """Weekdays by hours, also where hours begin at a quarter to; arrow keys go from cell to cell."""
    page = new_context(timezone_id="Asia/Kathmandu").new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{stage_with_past.url}/dashboard?course={COURSE}")

    expect(page.locator("#calendar td")).to_have_count(7 * 24)
    expect(page.locator("#calendar td", has_text=re.compile("average"))).to_have_count(7 * 24)
    expect(page.locator("#calendar [aria-current=time]")).to_have_count(1)
    expect(page.locator("#calendar-words")).to_contain_text(re.compile(r"Busiest: \w+ at .*Kath?mandu"))
    assert any("calendar" in url and re.search(r"tz=Asia(%2F|/)Kat(h)?mandu", url) for url in asked)
    page.locator("#calendar td").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#calendar-readout")).to_have_text(re.compile(r"^Tuesday, .* to .*: average"))
    page.locator("#calendar tr:nth-child(7) td").last.hover()
    expect(page.locator("#calendar-readout")).to_have_text(re.compile(r"^Sunday, "))


def test_chapters_over_time_are_a_table_too(board: Page) -> None:
    """The most watched first, with what was watched; a day's columns are half hours."""
    choose(board, "28 days")
    expect(board.locator("#chapter-heat tbody tr")).to_have_count(8)
    expect(board.locator("#chapter-heat tbody tr").first.locator("td")).to_have_count(28)
    expect(board.locator("#chapter-heat td[data-level=unknown]").first).to_have_text("not known")
    expect(board.locator("#chapter-heat tbody th").first).to_contain_text(re.compile(r"hours? watched"))


@pytest.mark.parametrize("width", [360, 1280])
def test_labels_of_times_have_room(new_context: NewContext, stage_with_past: rig.Service, width: int) -> None:
    """None runs into the next one or out of the table, at any time of the day."""
    page = new_context(viewport={"width": width, "height": 900}).new_page()
    quarters = 0

    def at_that_time(route: Route) -> None:
        response = route.fetch()
        found = response.json()
        found["t"] = [found["t"][0] + n * 900_000 for n in range(quarters)]
        for chapter in found["chapters"]:
            chapter["average"] = chapter["peak"] = [1] * quarters
        route.fulfill(response=response, json=found)

    page.route("**/history/heatmap?*", at_that_time)
    for quarters in (7, 14, 30, 33, 94):
        page.goto(f"{stage_with_past.url}/dashboard?course={COURSE}")
        expect(page.locator("#chapter-heat thead th:not(.corner)")).to_have_count((quarters + 1) // 2)
        spans = page.locator("#chapter-heat thead th:not(.corner) span:first-child").evaluate_all(
            "(all) => all.filter((one) => one.textContent).map((one) => { const text = new Range();"
            " text.selectNodeContents(one); const at = text.getBoundingClientRect();"
            " return [at.left, at.right]; })"
        )
        end = page.locator("#chapter-heat").evaluate("(table) => table.getBoundingClientRect().right")
        assert all(here[1] < there[0] for here, there in pairwise(spans)), (quarters, spans)
        assert spans[-1][1] <= end + 3, (quarters, spans, end)


def test_updates_leave_the_reader_in_place(board: Page) -> None:
    """The keyboard's place in a picture outlives a new answer."""
    cell = board.locator("#calendar td").nth(30)
    cell.focus()
    board.evaluate("document.activeElement.mark = 1")

    with board.expect_response(re.compile("calendar")):
        board.evaluate("document.querySelector(\"[value='7d']\").click()")
    expect(board.locator("#facts")).to_contain_text("Watched in 7 days")

    assert board.evaluate("document.activeElement.mark") == 1


def test_the_numbers_are_saved_as_csv(board: Page, tmp_path: Path) -> None:
    """What the picture shows, as the service writes it."""
    choose(board, "7 days")
    with board.expect_download() as download:
        board.click("#csv")
    path = tmp_path / "history.csv"
    download.value.save_as(path)

    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert download.value.suggested_filename == f"history-{COURSE}-1h.csv"
    assert len(rows) > 6 * 24
    assert {"time", "t", "peak", "average", "viewer_minutes"} <= rows[0].keys()


def test_without_history_one_sentence_stands_there(
    page: Page, spawn_service: SpawnService, redis_url: str, complaints: Complaints
) -> None:
    """HISTORY=off: no empty pictures; what is now stays."""
    service = fill(spawn_service({"PRESENCE_REDIS_URL": redis_url, "PRESENCE_HISTORY": "off"}))
    complaints.network_may_fail = True  # the browser notes the 404
    page.goto(f"{service.url}/dashboard?course={COURSE}")

    expect(page.locator("#past-note")).to_contain_text("PRESENCE_HISTORY=off")
    expect(page.locator("#pictures")).to_be_hidden()
    expect(page.locator("#detail-total")).to_have_text("3 watching")


def test_on_paper_it_is_light_and_without_controls(
    new_context: NewContext, spawn_service: SpawnService, redis_url: str
) -> None:
    """Also for who reads in the dark."""
    write_past(redis_url)
    service = fill(spawn_service({"PRESENCE_REDIS_URL": redis_url}))
    page = new_context(color_scheme="dark").new_page()
    page.goto(f"{service.url}/dashboard?course={COURSE}")
    expect(page.locator("#past-chart canvas")).to_be_visible()

    page.emulate_media(media="print", color_scheme="dark")

    for hidden in ("nav", "#csv", "#ranges", "#search"):
        expect(page.locator(hidden)).to_be_hidden()
    for shown in ("#past-chart canvas", "#calendar", "#facts"):
        expect(page.locator(shown)).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
