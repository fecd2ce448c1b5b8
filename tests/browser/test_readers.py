"""The dashboard for its readers: their clock and zone, pointer and keyboard, forced colours."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests import rig
from tests.browser.conftest import NewContext
from tests.browser.stage import Others, until, until_holds

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]
ZONES = {
    "de-DE": ("Europe/Berlin", r"\d\d:\d\d"),
    "ar-EG": ("Africa/Cairo", r"\d{1,2}:\d\d [AP]M"),
    "en-GB": ("America/St_Johns", r"\d\d:\d\d"),
    "en-US": ("Pacific/Auckland", r"\d{1,2}:\d\d [AP]M"),
    "fa-IR": ("Asia/Tehran", r"\d\d:\d\d"),
}
CLOCK = re.compile(
    r"[\d\u0660-\u0669\u06f0-\u06f9]{1,2}[:.][\d\u0660-\u0669\u06f0-\u06f9]{2}(?:[:.]\d\d)?(?:\s[AP]M)?"
)


@pytest.mark.parametrize("locale", ZONES)
def test_numbers_and_times_are_in_one_locale(
    new_context: NewContext, stage_with_past: rig.Service, locale: str
) -> None:
    """The page's language, with the reader's clock of 12 or 24 hours, and their zone, wherever one looks."""
    others = Others(stage_with_past.url)
    beats = [{"course_id": "python-101", "viewer_id": f"v{n}"} for n in range(1000)]
    httpx2.post(f"{others.url}/v1/heartbeats", json={"heartbeats": beats}, timeout=20).raise_for_status()
    zone, pattern = ZONES[locale]
    page = new_context(locale=locale, timezone_id=zone).new_page()
    page.goto(f"{stage_with_past.url}/dashboard?course=python-101")
    expect(page.locator("#detail-total")).to_have_text("1,000 watching")
    expect(page.locator("[data-course='python-101'] .number")).to_have_text("1,000")
    expect(page.locator("#calendar th").first).to_have_text("Weekday")
    expect(page.locator("#calendar tbody th .unseen").first).to_have_text("Monday")
    page.click("text=The last minutes as a table")
    page.click("text=The numbers as a table")
    expect(page.locator("#past-table tbody tr").first).to_be_visible()
    page.locator("#past-chart").press("End")
    page.locator("#all-chart").press("End")
    page.locator("#calendar td").first.focus()

    seconds = pattern.replace("[AP]M", "").strip() + r":\d\d" + (" [AP]M" if "AP" in pattern else "")
    shown = page.locator("main").inner_text()
    times = [found.replace("\u202f", " ") for found in CLOCK.findall(shown)]
    assert len(times) > 10
    assert [one for one in times if not re.fullmatch(f"{pattern}|{seconds}", one)] == []
    assert re.search(r"[\u0660-\u0669\u06f0-\u06f9]|\d\.\d{3}\b", shown) is None
    said = page.locator("#as-of").inner_text().replace("\u202f", " ").removeprefix("as of ")
    hours = "%I:%M:%S %p" if "AP" in pattern else "%H:%M:%S"
    now = datetime.now(ZoneInfo(zone))
    at = datetime.strptime(said, hours).replace(
        year=now.year, month=now.month, day=now.day, tzinfo=now.tzinfo
    )
    assert abs((now - at).total_seconds()) % 86_400 < 120
    assert f"times of {zone}" in str(page.locator("#calendar caption").text_content())


def test_the_live_picture_is_read_by_pointer_and_keyboard(page: Page, stage: rig.Service) -> None:
    """Hover and arrow keys write the value of a moment under it, and it stays there while others come."""
    page.goto(f"{stage.url}/dashboard")
    expect(page.locator("#total")).to_have_text("18")
    readout, over = page.locator("#all-readout"), page.locator("#all-chart .u-over")
    Others(stage.url).beat("python-101", "eve")
    expect(page.locator("#total")).to_have_text("19")
    box = over.bounding_box()
    assert box is not None

    over.hover(position={"x": box["width"] - 2, "y": 20})
    expect(readout).to_have_text(re.compile(r"^\d{1,2}:\d\d:\d\d\s[AP]M: 19 watching$"))
    page.mouse.move(0, 0)
    expect(readout).to_be_empty()
    page.locator("#all-chart").press("Home")
    expect(readout).to_have_text(re.compile(": 18 watching$"))
    for _ in range(3):  # updates
        with page.expect_response(re.compile("v1/stats")):
            pass
    assert page.evaluate("document.activeElement.id") == "all-chart"
    expect(readout).to_have_text(re.compile(": 18 watching$"))
    page.locator("#all-chart").press("End")
    expect(readout).to_have_text(re.compile(": 19 watching$"))


FORCED = """
(places) => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.backgroundColor = "Canvas";
  const canvas = getComputedStyle(probe).backgroundColor;
  return places.map(([selector, pseudo, name]) => {
    const found = [...document.querySelectorAll(selector)].find((one) => one.checkVisibility());
    return [selector, found ? getComputedStyle(found, pseudo)[name] : "missing", canvas];
  });
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forced_colours_keep_what_there_is_to_see(
    new_context: NewContext, stage_with_past: rig.Service, scheme: str
) -> None:
    """Rows' bars, dots, chosen buttons, lines and bands of charts differ from the ground."""
    page = new_context(forced_colors="active", color_scheme=scheme).new_page()
    page.goto(f"{stage_with_past.url}/dashboard?course=python-101&range=7d")
    expect(page.locator("#calendar td").first).to_be_attached()
    expect(page.locator("#link")).to_have_text("Live")
    page.click("#compare")
    expect(page.locator("#heat .cell").first).to_be_visible()
    grounds = [
        (".row", "::before", "backgroundColor"),
        (".row[aria-pressed=true]", "", "outlineColor"),
        (".link", "::before", "backgroundColor"),
        (".live-total", "::before", "backgroundColor"),
        (".cell", "", "borderTopColor"),
        (".face", "", "borderTopColor"),
        ("#compare[aria-pressed=true]", "", "backgroundColor"),
        (".switch input:checked + span", "", "backgroundColor"),
        (".key-average", "", "borderTopColor"),
        (".heat-grid td[data-level='5']", "", "backgroundColor"),
    ]
    seen = page.evaluate(FORCED, [list(place) for place in grounds])
    assert [one for one in seen if one[1] in (one[2], "missing", "rgba(0, 0, 0, 0)")] == []
    until_holds(page, lambda: inks(page, "#past-chart") > 1_000)
    until_holds(page, lambda: inks(page, "#all-chart") > 30)  # it grows


def test_forced_colours_of_the_demo(new_context: NewContext, stage: rig.Service) -> None:
    """The bars and dots of its chapters, its progress and its chosen chapter."""
    page = new_context(forced_colors="active", color_scheme="dark").new_page()
    page.goto(f"{stage.url}/demo")
    expect(page.locator("#ch-2 .here")).to_have_text("2")
    places = [
        ("#ch-2", "::before", "backgroundColor"),
        ("#ch-2[aria-current]", "", "outlineColor"),
        ("#ch-2 .here", "::before", "backgroundColor"),
        ("#ch-8 .here", "::before", "borderTopColor"),
        (".bar progress", "", "outlineColor"),
        (".course", "", "borderTopColor"),
        ("nav a[aria-current]", "", "textDecorationColor"),
    ]

    seen = page.evaluate(FORCED, [list(place) for place in places])

    assert [one for one in seen if one[1] in (one[2], "missing", "rgba(0, 0, 0, 0)")] == []
    heat = "Number(getComputedStyle(document.querySelector('#ch-2'), '::before').opacity) > 0.1"
    until(page, heat)


INKS = """
(chart) => {
  const [canvas, over] = [chart.querySelector("canvas"), chart.querySelector(".u-over")];
  const [frame, inner] = [canvas, over].map((one) => one.getBoundingClientRect());
  const scale = canvas.width / frame.width;
  const box = [inner.left - frame.left, inner.top - frame.top, inner.width, inner.height];
  const at = box.map((n) => Math.round(n * scale));
  const { width: w, height: h } = canvas;
  const copy = Object.assign(document.createElement("canvas"), { width: w, height: h }).getContext("2d");
  copy.drawImage(canvas, 0, 0);
  const { data, width, height } = copy.getImageData(...at);
  const card = getComputedStyle(chart.closest(".card")).backgroundColor;
  const ground = card.match(/[0-9.]+/g).map(Number);
  const differs = (i) => [0, 1, 2].reduce((sum, n) => sum + Math.abs(data[i + n] - ground[n]), 0) > 90;
  const rows = Array.from({ length: height }, () => 0);
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] > 20 && differs(i)) rows[Math.floor(i / 4 / width)] += 1;
  }
  return rows.filter((drawn) => drawn < 0.9 * width).reduce((a, b) => a + b, 0); // without the grid
}
"""


def inks(page: Page, chart: str) -> int:
    """How many pixels of a chart's lines and bands are drawn on."""
    return int(page.locator(chart).evaluate(INKS))
