"""The badge in a real browser: who is counted, when, and how the number looks while it becomes true."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import APIResponse, BrowserContext, Request, Route, expect

from presence_svc.store.redis.embedded import EmbeddedServer
from tests import rig
from tests.browser.conftest import Complaints, NewContext, NewPage
from tests.browser.stage import (
    Others,
    Site,
    badge,
    blank,
    count_frame,
    number,
    numbers,
    published,
    record_numbers,
    serve_stream,
    until,
    until_holds,
    until_total,
)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]


def test_two_lines_in_a_blank_file_show_a_live_badge(
    context: BrowserContext, site: Site, service: rig.Service, course: str
) -> None:
    """The README's promise: a script and a tag, no other attribute, and there is a number."""
    page = context.new_page()

    page.goto(
        site.add(
            f'<script type="module" src="{service.url}/live-viewer-badge.js"></script>\n'
            f'<live-viewer-badge course-id="{course}"></live-viewer-badge>'
        )
    )

    expect(number(page)).to_have_text("1")
    expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")


def test_two_people_count_each_other(new_context: NewContext, open_page: NewPage, course: str) -> None:
    """S1: each sees the other come and go."""
    ada = open_page(badge(course, "ada"), context=new_context())
    expect(number(ada)).to_have_text("1")

    bob = open_page(badge(course, "bob"), context=new_context())

    expect(number(ada)).to_have_text("2")
    expect(number(bob)).to_have_text("2")
    bob.evaluate("document.querySelector('live-viewer-badge').remove()")
    expect(number(ada)).to_have_text("1")


def test_a_chapter_move_is_told(open_page: NewPage, others: Others, course: str) -> None:
    """S2: the chapter counts follow the attribute, and the total stays."""
    page = open_page(badge(course, "ada", chapter_id="ch-1"))
    expect(number(page)).to_have_text("1")
    until_total(page, others, course, 1)
    assert others.count(course)["chapters"] == {"ch-1": 1}

    page.evaluate(
        """() => new Promise((resolve) => {
          const badge = document.querySelector("live-viewer-badge");
          badge.addEventListener("presence-change", (e) => e.detail.chapters["ch-2"] && resolve());
          badge.chapterId = "ch-2";
        })"""
    )

    assert others.count(course)["chapters"] == {"ch-2": 1}
    assert others.count(course)["total"] == 1


def test_a_removed_badge_is_gone_at_once(open_page: NewPage, others: Others, course: str) -> None:
    """S5: taking the element off the page is a leave, at once."""
    page = open_page(badge(course, "ada"))
    until_total(page, others, course, 1)

    page.evaluate("document.querySelector('live-viewer-badge').remove()")

    until_total(page, others, course, 0, timeout_ms=2_500)  # a soft leave takes the 3 s of the grace


def test_a_moved_badge_neither_leaves_nor_joins(
    open_page: NewPage, others: Others, course: str, shared_redis: EmbeddedServer
) -> None:
    """Frameworks move elements; nobody outside hears of it."""
    page = open_page(badge(course, "ada") + "<section></section>")
    until_total(page, others, course, 1)

    with published(shared_redis.url, course) as changes:
        page.evaluate("document.querySelector('section').append(document.querySelector('live-viewer-badge'))")
        page.wait_for_timeout(1_000)

    assert changes == []
    expect(number(page)).to_have_text("1")


def test_after_a_removal_the_same_viewer_may_come_back(
    open_page: NewPage, others: Others, course: str
) -> None:
    """S6: a hard leave ends the session for good, so coming back is a session of its own."""
    page = open_page(badge(course, "ada"))
    until_total(page, others, course, 1)

    page.evaluate(
        """async () => {
          const badge = document.querySelector("live-viewer-badge");
          badge.remove();
          await new Promise((resolve) => setTimeout(resolve, 300));
          document.querySelector("main").append(badge);
        }"""
    )

    until_total(page, others, course, 1)
    page.wait_for_timeout(500)
    assert others.count(course)["total"] == 1
    expect(number(page)).to_have_text("1")


def test_a_closed_page_is_gone_after_the_grace(
    context: BrowserContext, open_page: NewPage, others: Others, course: str
) -> None:
    """S5: closing is a soft leave: present for a moment (it may be a reload), then gone."""
    watcher = context.new_page()
    page = open_page(badge(course, "ada"))
    until_total(page, others, course, 1)

    page.close(run_before_unload=True)

    until_total(watcher, others, course, 0, timeout_ms=8_000)  # far below the lease of 60 s


def test_a_reload_publishes_nothing(
    open_page: NewPage, others: Others, course: str, shared_redis: EmbeddedServer
) -> None:
    """S5: the session survives a reload, so nobody sees a flicker, neither here nor elsewhere."""
    others.beat(course, "bob")
    page = open_page(badge(course, "ada", chapter_id="ch-1"))
    record_numbers(page)
    until_total(page, others, course, 2)
    page.wait_for_timeout(500)

    with published(shared_redis.url, course) as changes:
        page.reload()
        expect(number(page)).to_have_text("2")
        page.wait_for_timeout(4_500)  # longer than the grace of a soft leave

    assert changes == []
    assert set(numbers(page)) == {"2"}
    assert others.count(course)["total"] == 2


def test_a_duplicated_tab_is_a_session_of_its_own(
    context: BrowserContext, open_page: NewPage, others: Others, course: str
) -> None:
    """S5: a copy of a tab has a copy of its storage; closing one must not take the other out."""
    page = open_page(badge(course, "ada"))
    until_total(page, others, course, 1)
    page.reload()  # now it has taken up its session from the storage
    page.wait_for_timeout(500)

    with context.expect_page() as opened:
        page.evaluate("void open(location.href)")  # with an opener the storage is copied
    copy = opened.value
    expect(number(copy)).to_have_text("1")
    copy.wait_for_timeout(300)
    copy.evaluate("document.querySelector('live-viewer-badge').remove()")

    page.wait_for_timeout(500)
    assert others.count(course)["total"] == 1


def test_back_from_the_back_forward_cache_joins_again(
    open_page: NewPage, site: Site, others: Others, course: str
) -> None:
    """A page that went into the cache has left; when it comes back, so does its viewer."""
    page = open_page(badge(course, "ada"))
    page.evaluate("addEventListener('pageshow', (e) => { window.wasCached = e.persisted; })")
    until_total(page, others, course, 1)

    page.goto(site.add("<title>elsewhere</title>elsewhere"))
    until_total(page, others, course, 0, timeout_ms=8_000)
    page.evaluate("() => { history.back(); }")

    until(page, "window.wasCached === true")
    until_total(page, others, course, 1)
    expect(number(page)).to_have_text("1")
    expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")


def test_ones_own_viewer_counts_before_the_service_has_answered(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """Optimistic: three others and oneself are four, though our heartbeat is still on its way."""
    for viewer in ("bob", "eve", "joe"):
        others.beat(course, viewer)
    page = context.new_page()
    page.wait_for_timeout(2_500)  # a quiet course: what the stream tells is certainly without us
    held: list[Route] = []
    page.route("**/heartbeat", lambda route: held.append(route))
    record_numbers(page)

    site.show(page, service.url, badge(course, "ada"))
    expect(number(page)).to_have_text("4")
    assert others.count(course)["total"] == 3
    for route in held:
        route.continue_()
    until_total(page, others, course, 4)
    page.wait_for_timeout(2_000)

    assert [shown for shown in numbers(page) if shown not in ("1", "4")] == []
    expect(number(page)).to_have_text("4")


def test_ones_own_viewer_is_never_counted_twice(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """The stream has us already while the answer to our heartbeat is late: that is one of us."""
    others.beat(course, "bob")
    page = context.new_page()
    page.wait_for_timeout(2_500)
    late: list[tuple[Route, APIResponse]] = []
    page.route("**/heartbeat", lambda route: late.append((route, route.fetch())))
    record_numbers(page)

    site.show(page, service.url, badge(course, "ada"))
    expect(number(page)).to_have_text("2")
    page.wait_for_timeout(1_000)
    for route, reply in late:
        route.fulfill(response=reply)
    page.wait_for_timeout(2_000)

    assert set(numbers(page)) <= {"1", "2"}
    expect(number(page)).to_have_text("2")


def test_a_second_tab_of_a_viewer_changes_no_number(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """S1: two tabs of one person are one viewer, also in the moment in which the second opens."""
    others.beat(course, "bob")
    address = site.add(blank(service.url, badge(course, "ada")))
    first = context.new_page()
    first.goto(address)
    until_total(first, others, course, 2)
    first.wait_for_timeout(2_500)

    second = context.new_page()
    record_numbers(second)
    second.goto(address)
    expect(number(second)).to_have_text("2")
    second.wait_for_timeout(1_500)

    assert set(numbers(second)) <= {"1", "2"}


def test_badges_of_a_page_share_one_stream_and_one_heartbeat(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """However many badges: a stream for the page, a heartbeat for each course."""
    page = context.new_page()
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))

    tags = badge(course, "ada") * 3 + badge(f"{course}.b", "ada") + badge(f"{course}.c", observe=True)
    site.show(page, service.url, tags)
    for i in range(4):
        expect(number(page).nth(i)).to_have_text("1")
    page.wait_for_timeout(500)

    assert len([request for request in asked if "/v1/live?" in request.url]) == 1
    beats = [r for r in asked if r.url.endswith("/heartbeat") and r.method == "POST"]
    assert len(beats) == 2
    assert others.count(course)["total"] == 1


def test_the_badge_that_spoke_last_says_the_chapter(open_page: NewPage, others: Others, course: str) -> None:
    """Two badges of a course on one page are one heartbeat: the last change wins."""
    page = open_page(
        badge(course, "ada", chapter_id="ch-1", id="a") + badge(course, "ada", chapter_id="ch-2")
    )
    until_total(page, others, course, 1)
    until_holds(page, lambda: others.count(course)["chapters"] == {"ch-2": 1})

    page.evaluate("document.querySelector('#a').chapterId = 'ch-3'")

    until_holds(page, lambda: others.count(course)["chapters"] == {"ch-3": 1})


def test_an_observer_sees_the_number_and_is_not_in_it(
    open_page: NewPage, others: Others, course: str
) -> None:
    """`observe` is for catalogues and creators: live, and not counted."""
    others.beat(course, "bob")

    page = open_page(badge(course, observe=True))

    expect(number(page)).to_have_text("1")
    others.beat(course, "eve")
    expect(number(page)).to_have_text("2")
    assert {viewer["viewer_id"] for viewer in others.viewers(course)} == {"bob", "eve"}


def test_a_viewer_without_an_id_is_counted_and_never_named(
    open_page: NewPage, others: Others, course: str
) -> None:
    """S7: nobody has to sign in to be counted, and the same browser is the same viewer."""
    page = open_page(badge(course))
    until_total(page, others, course, 1)

    page.reload()
    expect(number(page)).to_have_text("1")
    page.wait_for_timeout(500)

    found = others.count(course)
    assert (found["total"], found["named"], found["anonymous"]) == (1, 0, 1)
    assert others.viewers(course) == []


def test_attributes_change_at_run_time(open_page: NewPage, others: Others, course: str) -> None:
    """At any time: another course, another viewer, watching instead of being there."""
    other = f"{course}.other"
    others.beat(other, "bob")
    page = open_page(badge(course, "ada"))
    until_total(page, others, course, 1)
    element = page.locator("live-viewer-badge")

    element.evaluate("(badge, id) => { badge.courseId = id; }", other)
    expect(number(page)).to_have_text("2")
    until_total(page, others, course, 0)

    element.evaluate("(badge) => { badge.viewerId = 'eve'; badge.name = 'Eve'; }")

    def names() -> dict[str, str]:
        return {viewer["viewer_id"]: viewer["name"] for viewer in others.viewers(other)}

    until_holds(page, lambda: names().get("eve") == "Eve")
    assert names().keys() == {"bob", "eve"}

    element.evaluate("(badge) => { badge.observe = true; }")
    expect(number(page)).to_have_text("1")


def test_six_badges_of_six_courses_heartbeat_over_http_1(
    open_page: NewPage, others: Others, course: str
) -> None:
    """A browser opens six connections to an origin: one stream must leave room for the heartbeats."""
    ids = [f"{course}.{i}" for i in range(6)]

    page = open_page("".join(badge(each, "ada") for each in ids))

    for i, each in enumerate(ids):
        expect(number(page).nth(i)).to_have_text("1")
        until_total(page, others, each, 1)


def test_properties_set_before_the_module_came_count(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """Frameworks set properties on elements that are not defined yet."""
    page = context.new_page()
    early = (
        "<script>const e = document.createElement('live-viewer-badge');"
        f"e.courseId = {json.dumps(course)}; e.viewerId = 'ada'; e.chapterId = 'ch-9';"
        "document.querySelector('main').append(e);</script>"
    )

    site.show(page, service.url, early)

    until_total(page, others, course, 1)
    assert others.count(course)["chapters"] == {"ch-9": 1}


def test_a_badge_without_a_course_says_so_and_throws_nothing(
    context: BrowserContext,
    site: Site,
    service: rig.Service,
    course: str,
    complaints: Complaints,
) -> None:
    """A mistake in the page is an event and one warning, and can be put right."""
    page = context.new_page()
    page.add_init_script(
        "window.problems = [];"
        "addEventListener('presence-error', (event) => problems.push(event.detail.message));"
    )
    site.show(page, service.url, "")
    page.evaluate(
        """() => {
          const main = document.querySelector("main");
          for (let i = 0; i < 2; i += 1) main.append(document.createElement("live-viewer-badge"));
        }"""
    )
    until(page, "problems.length === 2")
    assert complaints.heard == ["<live-viewer-badge>: a live viewer count needs a course id"]
    complaints.heard.clear()

    page.evaluate("(id) => { document.querySelector('live-viewer-badge').courseId = id; }", course)

    expect(number(page).first).to_have_text("1")


def test_an_older_count_is_ignored(
    context: BrowserContext, site: Site, service: rig.Service, course: str
) -> None:
    """S8: versions order what is told; what comes late, by whatever way, changes nothing."""
    late = [(3, 70), (9, 60), (5, 80), (7, 79)]
    serve_stream(site, "".join(count_frame(course, total, version) for total, version in late))
    page = context.new_page()
    record_numbers(page)

    site.show(page, service.url, badge(course, observe=True, base_url=site.url))

    expect(number(page)).to_have_text("5")
    assert numbers(page) == ["3", "5"]


def test_headless_sessions_do_all_that_the_element_does(
    open_page: NewPage, others: Others, service: rig.Service, course: str
) -> None:
    """PresenceSession without an element: subscribe, update, heartbeat, viewers, leave, observe."""
    others.beat(course, "bob", name="Bob")
    page = open_page("")

    seen = page.evaluate(
        """async ([base, courseId]) => {
          const { PresenceSession } = await import(`${base}/live-viewer-badge.js`);
          const until = (session, test) => new Promise((resolve) => {
            const stop = session.subscribe((now) => test(now) && (resolve(now), setTimeout(() => stop())));
          });
          const session = new PresenceSession({ courseId, viewerId: "ada", name: "Ada", baseUrl: base });
          await session.heartbeat();
          const both = await until(session, (now) => now.count?.total === 2 && now.state === "live");
          session.update({ chapterId: "ch-7" });
          const moved = await until(session, (now) => now.count?.chapters["ch-7"] === 1);
          const names = (await session.viewers()).map((viewer) => viewer.name);
          const observer = new PresenceSession({ courseId, observe: true, baseUrl: base });
          session.leave();
          const alone = await until(observer, (now) => now.count?.total === 1);
          observer.leave();
          return { both: both.count.named, moved: moved.count.total, names, alone: alone.count.total };
        }""",
        [service.url, course],
    )

    assert seen == {"both": 2, "moved": 2, "names": ["Ada", "Bob"], "alone": 1}
    assert others.count(course)["total"] == 1


def test_a_change_during_a_heartbeat_is_said_right_after_it(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """One heartbeat at a time, and none of what happens meanwhile waits for the next turn."""
    page = context.new_page()
    held: list[Route] = []
    page.route("**/heartbeat", lambda route: held.append(route) if not held else route.continue_())
    site.show(page, service.url, badge(course, "ada", chapter_id="ch-1"))
    expect(number(page)).to_have_text("1")
    until_holds(page, lambda: bool(held))

    page.evaluate(
        """() => {
          const badge = document.querySelector("live-viewer-badge");
          for (const chapter of ["ch-2", "ch-3", "ch-4"]) badge.chapterId = chapter;
        }"""
    )
    held[0].continue_()

    until_holds(page, lambda: others.count(course)["chapters"] == {"ch-4": 1})
    assert others.count(course)["total"] == 1
    assert len(held) == 1


def test_a_visitor_who_gets_an_id_is_somebody_else_to_a_service_that_believes_it(
    open_page: NewPage, others: Others, course: str
) -> None:
    """S1, S5: without tokens nothing ties the two together: the visitor leaves, and the viewer joins."""
    others.beat(course, "bob")
    page = open_page(badge(course))
    expect(number(page)).to_have_text("2")
    until_total(page, others, course, 2)

    page.evaluate("document.querySelector('live-viewer-badge').viewerId = 'ada'")

    page.wait_for_timeout(1_000)
    assert [viewer["viewer_id"] for viewer in others.viewers(course)] == ["ada", "bob"]
    assert others.count(course)["total"] == 2


def test_one_impossible_course_id_takes_no_other_badge_with_it(
    context: BrowserContext,
    site: Site,
    service: rig.Service,
    others: Others,
    complaints: Complaints,
    course: str,
) -> None:
    """Of forty courses on one stream one cannot be: its badge says so, all others are live."""
    complaints.network_may_fail = True
    ids = [f"{course}.{i}" for i in range(40)]
    others.beat(ids[-1], "bob")
    page = context.new_page()
    page.add_init_script(
        "window.problems = [];"
        "addEventListener('presence-error', (event) => problems.push(event.target.courseId));"
    )
    reads: list[Request] = []
    page.on("request", lambda request: reads.append(request) if "/v1/counts?" in request.url else None)

    tags = badge(ids[0], "ada") + badge("not an id!", observe=True)
    site.show(page, service.url, tags + "".join(badge(each, observe=True) for each in ids[1:]))

    badges = page.locator("live-viewer-badge")
    expect(number(page).first).to_have_text("1")
    expect(badges.first).to_have_attribute("data-state", "live")
    expect(badges.nth(1)).to_have_attribute("data-state", "offline")
    expect(number(page).nth(1)).to_have_text("not available")
    assert complaints.unexpected() == ['live-viewer-badge: course "not an id!": no id can be like this']
    complaints.heard.clear()
    expect(number(page).last).to_have_text("1")
    others.beat(ids[-1], "eve")
    expect(number(page).last).to_have_text("2")
    assert set(page.evaluate("problems")) == {"not an id!"}
    assert len(reads) < len(
        ids
    )  # by halves, also where the page was built in parts and two streams were tried
