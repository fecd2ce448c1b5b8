"""Faces beside the number: `max` of them, yours first, and how many more there are."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.browser.stage import Others, badge, number
from tests.browser.test_tooltip import violations

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]


def faces(page: Page) -> list[str]:
    return page.locator("[part=stack] [part=avatar]").all_text_contents()


def test_max_faces_and_the_rest(open_page: NewPage, others: Others, axe: str, course: str) -> None:
    """You first, then by joining; +N counts the anonymous too, and the label says the number once."""
    for i in range(8):
        others.beat(course, f"v{i}", name=f"Viewer {i}")
    others.beat(course, "x", anonymous=True)
    page = open_page(badge(course, "ada", name="Ada Lovelace", max="3"))
    expect(number(page)).to_have_text("10")
    expect(page.locator("[part=stack] [part=avatar]")).to_have_count(3)
    page.wait_for_timeout(700)
    first = faces(page)
    assert first[0] == "AL"
    assert first[1:] == sorted(first[1:])
    expect(page.locator("[part=rest]")).to_have_text("+7")
    expect(page.locator("[part=badge]")).to_have_attribute("aria-label", "10 people are watching now")
    assert violations(page, axe) == []

    others.leave(course, first[1].lower())
    expect(page.locator("[part=rest]")).to_have_text("+6")
    page.wait_for_timeout(700)
    after = faces(page)
    assert after[0] == "AL"
    assert first[1] not in after
    assert first[2] in after
    page.evaluate("document.querySelector('live-viewer-badge').max = 1")
    expect(page.locator("[part=stack] [part=avatar]")).to_have_text(["AL"])
    expect(page.locator("[part=rest]")).to_have_text("+8")
    page.evaluate("document.querySelector('live-viewer-badge').removeAttribute('max')")
    expect(page.locator("[part=stack]")).to_be_hidden()


@pytest.mark.parametrize("value", ["0", "-3", "many", "", "1e9", "2.7"])
def test_what_is_no_number_of_faces_is_none(open_page: NewPage, course: str, value: str) -> None:
    """At most twenty, whole ones; anything else is no stack."""
    page = open_page(badge(course, "ada", name="Ada", max=value))
    expect(number(page)).to_have_text("1")
    page.wait_for_timeout(500)

    assert page.evaluate("document.querySelector('live-viewer-badge').max") == {"1e9": 20, "2.7": 2}.get(
        value, 0
    )
    assert len(faces(page)) == (1 if value in ("1e9", "2.7") else 0)


def test_nobody_who_may_be_named_is_no_stack(open_page: NewPage, others: Others, course: str) -> None:
    """Anonymous viewers have no faces."""
    others.beat(course, "x", anonymous=True)
    page = open_page(badge(course, max="3"))

    expect(number(page)).to_have_text("2")
    page.wait_for_timeout(500)
    expect(page.locator("[part=stack]")).to_be_hidden()
