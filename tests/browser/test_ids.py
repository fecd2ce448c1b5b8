"""Ids as databases have them, and ids that cannot be: they work as text, or it is said once why not."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Request, expect

from tests import rig
from tests.browser.conftest import Complaints, NewPage
from tests.browser.stage import Others, Site, badge, number

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]


def test_numbers_are_ids(open_page: NewPage, service: rig.Service, others: Others) -> None:
    """42, 42n and "42" are one course; viewer and chapter may be numbers too."""
    others.beat("42042", "bob")
    page = open_page(badge("42042", observe=True))
    seen = page.evaluate(
        """async (base) => {
          const { PresenceSession } = await import(`${base}/live-viewer-badge.js`);
          const until = (session, total) => new Promise((resolve) => {
            session.subscribe((now) => now.count?.total === total && resolve(now.count.course_id));
          });
          const one = new PresenceSession({ courseId: 42042, viewerId: 7, chapterId: 3, name: 12,
            baseUrl: base });
          const two = new PresenceSession({ courseId: 42042n, observe: true, baseUrl: base });
          await one.heartbeat();
          const ids = [await until(one, 2), await until(two, 2)];
          document.querySelector("live-viewer-badge").courseId = 42042;
          return ids;
        }""",
        service.url,
    )

    assert seen == ["42042", "42042"]
    expect(number(page)).to_have_text("2")
    assert {one["viewer_id"]: one["name"] for one in others.viewers("42042")} == {"7": "12", "bob": None}
    assert others.count("42042")["chapters"] == {"3": 1}


@pytest.mark.parametrize("value", ["{}", "[]", "true", "NaN", "() => 1", "''", "null"])
def test_what_is_no_id_is_an_error_at_once(open_page: NewPage, service: rig.Service, value: str) -> None:
    """A TypeError that names the option, and never a number that stands still."""
    page = open_page("")

    said = page.evaluate(
        f"""async (base) => {{
          const {{ PresenceSession }} = await import(`${{base}}/live-viewer-badge.js`);
          try {{ new PresenceSession({{ courseId: {value}, baseUrl: base }}); }}
          catch (error) {{ return `${{error.name}}: ${{error.message}}`; }}
        }}""",
        service.url,
    )

    assert said.startswith("TypeError: ")
    assert "course" in said


@pytest.mark.parametrize("course_id", ["a/b", "kurs mit leerzeichen", "课程", "x" * 129])
def test_an_impossible_course_says_so_and_asks_for_nothing(
    context: BrowserContext,
    site: Site,
    service: rig.Service,
    complaints: Complaints,
    course_id: str,
) -> None:
    """Two badges of it: "not available", one warning with the reason, one event each, and no request."""
    page = context.new_page()
    page.add_init_script(
        "window.problems = [];"
        "addEventListener('presence-error', (event) => problems.push(event.detail.message));"
    )
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request) if "/v1/" in request.url else None)
    site.show(page, service.url, badge(course_id) + badge(course_id, observe=True))

    for i in range(2):
        expect(number(page).nth(i)).to_have_text("not available")
        expect(page.locator("live-viewer-badge").nth(i)).to_have_attribute("data-state", "offline")
    page.wait_for_timeout(3_000)
    assert asked == []
    assert len(page.evaluate("problems")) == 2
    (warning,) = complaints.heard
    assert "no id can be like this" in warning
    complaints.heard.clear()

    page.evaluate("document.querySelector('live-viewer-badge').courseId = 'possible'")
    expect(number(page).first).to_have_text("1")


def test_a_course_that_the_service_refuses_is_asked_for_a_few_times(
    context: BrowserContext, site: Site, service: rig.Service, complaints: Complaints, course: str
) -> None:
    """A service with other rules for ids than ours: it says no once to each way, and then is left alone."""
    complaints.network_may_fail = True
    problem = {
        "title": "Invalid",
        "status": 422,
        "detail": "no",
        "errors": [{"detail": "not in the catalogue"}],
    }
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method) if "/v1/" in request.url else None)
    page.route(
        "**/v1/**",
        lambda route: route.fulfill(
            status=422,
            json=problem,
            headers={"access-control-allow-origin": "*", "access-control-allow-headers": "*"},
        ),
    )
    site.show(page, service.url, badge(course))

    expect(number(page)).to_have_text("not available")
    page.wait_for_timeout(4_000)
    assert len([method for method in asked if method != "OPTIONS"]) <= 3
    warnings = complaints.unexpected()
    assert len(warnings) == 1
    assert "not in the catalogue" in warnings[0]
    complaints.heard.clear()
