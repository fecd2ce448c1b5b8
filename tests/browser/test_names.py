"""Names stay where they are: you first, then by joining; somebody comes only where somebody left."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from presence_svc.store.redis.embedded import EmbeddedServer
from tests import rig
from tests.browser.conftest import Complaints, NewPage
from tests.browser.stage import Others, Site, badge, number
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
    site.show(page, service.url, badge(course, "ada", name="Ada", show_avatars=True))
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
    site.show(page, service.url, badge(course, "ada", name="Ada"))
    expect(number(page)).to_have_text("1")

    page.hover("live-viewer-badge")

    expect(page.locator("[part=viewer]")).to_have_text(["AAda (you)", "BBob"])


def lists(page: Page) -> list[list[str]]:
    """Every list of names that the tooltip has shown since it was watched."""
    found: list[list[str]] = page.evaluate("lists")
    return found


WATCH = """
() => {
  const list = document.querySelector("live-viewer-badge").shadowRoot.querySelector("[part=tooltip] ul");
  const names = () => [...list.querySelectorAll("bdi")].map((one) => one.textContent);
  window.lists = [names()];
  const note = () => String(lists[lists.length - 1]) !== String(names()) && lists.push(names());
  new MutationObserver(note).observe(list, { childList: true, subtree: true, characterData: true });
}
"""


@pytest.mark.parametrize("show_avatars", [True, False], ids=["stream", "request"])
def test_thirty_who_come_and_go_under_pseudonyms(
    page: Page,
    site: Site,
    spawn_service: Callable[..., rig.Service],
    shared_redis: EmbeddedServer,
    complaints: Complaints,
    course: str,
    show_avatars: bool,
) -> None:
    """You are first in every list, and a list changes only where one of its five has left."""
    complaints.network_may_fail = True  # before the token has come, names are refused
    service = spawn_service({**guard(shared_redis, site), "PRESENCE_PSEUDONYMS": "true"})
    others = Others(service.url, SERVICE_KEY)
    crowd(others, course, 29)
    site.show(page, service.url, badge(course, show_avatars=show_avatars))
    sign_in(page, "badge.getToken = () => token(600);")
    expect(number(page)).to_have_text("30")
    page.hover("live-viewer-badge")
    expect(page.locator("[part=viewer]")).to_have_count(5)
    expect(page.locator("[part=viewer] bdi").first).to_have_text("Ada L. (you)")
    page.wait_for_timeout(2_500)
    page.evaluate(WATCH)

    here = [f"v{i:02}" for i in range(29)]
    left: set[str] = set()
    for turn in range(30):
        gone = here.pop((turn * 11) % len(here))
        others.leave(course, gone)
        left.add(f"{'Viewer' if gone[0] == 'v' else 'Late'} {gone[1:]}")
        here.append(f"w{turn:02}")
        others.beat(course, here[-1], name=f"Late {turn:02}")
        others.beat(course, here[(turn * 7) % 20])
        page.wait_for_timeout(200)
    page.wait_for_timeout(3_000)

    seen = lists(page)
    assert {names[0] for names in seen} == {"Ada L. (you)"}
    assert all(len(names) == 5 for names in seen)
    for before, after in pairwise(seen):
        stay = [name for name in before if name in after]
        assert [name for name in after if name in before] == stay
        assert {name for name in before if name not in after} <= left
    assert not left & set(seen[-1])
    shown = {name for names in seen for name in names}
    assert len(seen) - 1 <= len(shown & left)


def test_hidden_ids_name_nobody_twice(
    context: BrowserContext, site: Site, service: rig.Service, course: str
) -> None:
    """A service that hides ids and does not say which is ours: we are one of the lines, not one more."""
    page = context.new_page()
    viewers = [{"viewer_id": "~2", "name": "Ada"}, {"viewer_id": "~1", "name": "Bob"}]
    reply = {"viewers": viewers, "named": 40}
    page.route("**/viewers?limit=*", lambda route: route.fulfill(json=reply))
    site.show(page, service.url, badge(course, "ada", name="Ada"))
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
    site.show(page, service.url, tags)
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
