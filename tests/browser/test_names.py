"""Names stay where they are: you first, then by joining; somebody comes only where somebody left."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from presence_svc.store.redis.embedded import EmbeddedServer
from tests import rig
from tests.browser.conftest import Complaints, NewPage
from tests.browser.stage import Others, Site, badge, blank, number
from tests.browser.test_token import SERVICE_KEY, guard, page, sign_in, until_named

__all__ = ["page"]  # the fixture

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def names(page: Page) -> list[str]:
    return page.locator("[part=tooltip] bdi").all_text_contents()


def crowd(others: Others, course: str, n: int) -> None:
    for i in range(n):
        others.beat(course, f"v{i:02}", name=f"Viewer {i:02}")


@pytest.mark.parametrize("show_avatars", [True, False], ids=["stream", "request"])
def test_a_crowd_that_beats_reshuffles_no_names(
    open_page: NewPage, others: Others, course: str, show_avatars: bool
) -> None:
    """Thirty viewers beat in any order, and others come: five names stand still, yours at the top."""
    crowd(others, course, 29)
    page = open_page(badge(course, "ada", name="Ada", show_avatars=show_avatars))
    expect(number(page)).to_have_text("30")
    page.hover("live-viewer-badge")
    expect(page.locator("[part=viewer]")).to_have_count(5)
    page.wait_for_timeout(2_500)
    first = names(page)
    assert first[0] == "Ada (you)"
    seen = {tuple(first)}

    for turn in range(24):
        others.beat(course, f"v{(turn * 7) % 29:02}", name=f"Viewer {(turn * 7) % 29:02}")
        others.beat(course, f"late{turn}", name=f"Late {turn}")
        page.wait_for_timeout(300)
        seen.add(tuple(names(page)))

    assert seen == {tuple(first)}


@pytest.mark.parametrize("show_avatars", [True, False], ids=["stream", "request"])
def test_who_leaves_makes_room_and_nobody_else_moves(
    open_page: NewPage, others: Others, course: str, show_avatars: bool
) -> None:
    """The others stay; whoever joined first of the rest takes the place."""
    crowd(others, course, 12)
    page = open_page(badge(course, "ada", name="Ada", show_avatars=show_avatars))
    expect(number(page)).to_have_text("13")
    page.hover("live-viewer-badge")
    expect(page.locator("[part=viewer]")).to_have_count(5)
    page.wait_for_timeout(2_500)
    before = names(page)

    others.leave(course, f"v{before[2][-2:]}")
    expect(number(page)).to_have_text("12")
    page.wait_for_timeout(2_500)
    others.beat(course, "late", name="Late")
    page.wait_for_timeout(1_500)

    after = names(page)
    assert before[2] not in after
    assert [name for name in before if name in after] == [*before[:2], *before[3:]]
    assert after[0] == "Ada (you)"
    assert len(after) == 5
    assert "Late" not in after


def test_a_service_of_before_does_not_reshuffle_them_either(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """It tells of those heard from last: whoever is shown stays for a lease, you always."""
    crowd(others, course, 29)
    page = context.new_page()
    page.route("**/v1/live?*", without_order)
    page.goto(site.add(blank(service.url, badge(course, "ada", name="Ada", show_avatars=True))))
    expect(number(page)).to_have_text("30")
    page.hover("live-viewer-badge")
    expect(page.locator("[part=viewer]")).to_have_count(5)
    page.wait_for_timeout(3_000)
    first = names(page)
    assert first[0] == "Ada (you)"
    for turn in range(12):
        others.beat(course, f"v{turn:02}", name=f"Viewer {turn:02}")
        others.beat(course, f"late{turn}", name=f"Late {turn}")
        page.wait_for_timeout(300)
        assert names(page) == first


def without_order(route: Route) -> None:
    route.continue_(url=route.request.url.replace("&order=joined", ""))


def test_you_are_known_under_a_pseudonym(
    context: BrowserContext, site: Site, service: rig.Service, course: str
) -> None:
    """Where ids are hidden, the reply to a heartbeat says which of them is yours."""
    page = context.new_page()
    viewers = [
        {"viewer_id": "~1", "name": "Bob", "joined_at": 1},
        {"viewer_id": "~2", "name": "Ada", "joined_at": 2},
    ]
    page.route("**/viewers?limit=*", lambda route: route.fulfill(json={"viewers": viewers, "named": 2}))

    def answer(route: Route) -> None:
        reply = route.fetch()
        route.fulfill(response=reply, json={**reply.json(), "pseudonym": "~2"})

    page.route("**/heartbeat", answer)
    page.goto(site.add(blank(service.url, badge(course, "ada", name="Ada"))))
    expect(number(page)).to_have_text("1")

    page.hover("live-viewer-badge")

    expect(page.locator("[part=viewer]")).to_have_text(["AAda (you)", "BBob"])


def test_hidden_ids_name_nobody_twice(
    context: BrowserContext, site: Site, service: rig.Service, course: str
) -> None:
    """A service that hides ids and does not say which is ours: we are one of the lines, not one more."""
    page = context.new_page()
    viewers = [{"viewer_id": "~2", "name": "Ada"}, {"viewer_id": "~1", "name": "Bob"}]
    reply = {"viewers": viewers, "named": 40}
    page.route("**/viewers?limit=*", lambda route: route.fulfill(json=reply))
    page.goto(site.add(blank(service.url, badge(course, "ada", name="Ada"))))
    expect(number(page)).to_have_text("1")

    page.hover("live-viewer-badge")

    expect(page.locator("[part=viewer]")).to_have_text(["BBob", "AAda"])


def test_a_catalogue_keeps_the_names_that_are_for_us(
    page: Page,
    site: Site,
    spawn_service: Callable[..., rig.Service],
    shared_redis: EmbeddedServer,
    complaints: Complaints,
    course: str,
) -> None:
    """Avatars on one course, and others that the token does not open, whose counts are public."""
    complaints.network_may_fail = True
    service = spawn_service({**guard(shared_redis, site), "PRESENCE_JWT_COURSES_CLAIM": "courses"})
    admin = Others(service.url, SERVICE_KEY)
    tags = badge(f"{course}.a", show_avatars=True) + "".join(
        badge(f"{course}.{i}", observe=True, show_avatars=i == 2) for i in range(4)
    )
    page.goto(site.add(blank(service.url, tags)))
    sign_in(page, f"badge.getToken = () => token(60, 'eve', ['{course}.a']);")
    until_named(page, admin, f"{course}.a", "eve")

    admin.beat(f"{course}.a", "cleo", name="Cleo")
    for i in range(4):
        admin.beat(f"{course}.{i}", "bob")

    expect(number(page)).to_have_text(["2", "1", "1", "1", "1"])
    page.locator("live-viewer-badge").first.hover()
    expect(page.locator("[part=viewer]").filter(has_text="Cleo")).to_be_visible()
    admin.beat(f"{course}.a", "dora", name="Dora")
    expect(page.locator("[part=viewer]").filter(has_text="Dora")).to_be_visible()
    expect(page.locator("[part=viewer]").filter(has_text="(you)")).to_be_visible()
