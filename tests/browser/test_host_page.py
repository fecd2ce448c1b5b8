"""What a page, its scripts and its visitor's extensions do to a badge: patched, blocked, morphed, moved."""

from __future__ import annotations

import email.utils
import html
import json
import re
import time

import pytest
from playwright.sync_api import BrowserContext, Page, Request, Route, expect

from tests import rig
from tests.browser.conftest import Complaints, NewPage
from tests.browser.stage import Others, Proxy, Site, badge, blank, count_frame, frame, number, serve_stream

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]
OPEN = {"access-control-allow-origin": "*"}


def sent(page: Page, end: str) -> list[Request]:
    """The requests to paths that end so."""
    found: list[Request] = []
    page.on("request", lambda one: found.append(one) if one.url.partition("?")[0].endswith(end) else None)
    return found


def state(page: Page, nth: int = 0) -> str:
    return str(page.locator("live-viewer-badge").nth(nth).get_attribute("data-state"))


# What the page or the browser keeps for it.


def test_storage_may_hold_anything(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """Another script's value under our keys, or one of an older badge, costs nobody their presence."""
    kept = [
        '{"a": 1}',
        '"text"',
        "[5, 3, 1]",
        '["a b", 3, 1]',
        '["ok", "x", "many"]',
        "[null, -4]",
        "7",
    ]
    courses = [f"{course}.{n}" for n in range(len(kept))]
    for one in courses:
        others.beat(one, "bob")
    stored = {f"live-viewer {service.url} {one} ": value for one, value in zip(courses, kept, strict=True)}
    page = context.new_page()
    page.add_init_script(
        f"for (const [key, value] of Object.entries({json.dumps(stored)}))"
        " sessionStorage.setItem(key, value);"
        """localStorage.setItem("live-viewer-id", '{"no": "id"}');"""
        'localStorage.setItem("live-viewer-counted", \'["no", 5]\');'
    )
    site.show(page, service.url, "".join(badge(one) for one in courses))

    expect(number(page)).to_have_text(["2"] * len(kept))
    for i, one in enumerate(courses):
        expect(page.locator("live-viewer-badge").nth(i)).to_have_attribute("data-state", "live")
        assert others.count(one)["total"] == 2


def test_ids_may_be_names_that_objects_have(
    context: BrowserContext, site: Site, service: rig.Service, others: Others
) -> None:
    """Each is an id like any other, in the window that leads and in one that follows."""
    courses = ["__proto__", "constructor", "toString", "hasOwnProperty"]
    tags = "".join(badge(one, observe=True, chapter_id="__proto__") for one in courses)
    for one in courses:
        others.beat(one, "bob")
    pages = [context.new_page() for _ in range(2)]
    for page in pages:
        site.show(page, service.url, tags)
        expect(number(page)).to_have_text(["1"] * 4, timeout=5_000)

    for one in courses:
        others.beat(one, "__proto__", name="constructor", chapter_id="__proto__")

    for page in pages:
        expect(number(page)).to_have_text(["2"] * 4, timeout=5_000)
        chapters = "Object.entries(document.querySelector('live-viewer-badge').count.chapters)"
        assert page.evaluate(chapters) == [["__proto__", 1]]
    for one in courses:
        others.leave(one, "__proto__")
        others.leave(one, "bob")


def test_a_clock_that_is_set_back_stops_nothing(
    context: BrowserContext,
    site: Site,
    service: rig.Service,
    proxy: Proxy,
    others: Others,
    complaints: Complaints,
    course: str,
) -> None:
    """Set by hand or by the network: pauses go by time that only runs forward."""
    complaints.network_may_fail = True
    others.beat(course, "bob", name="Bob")
    page = context.new_page()
    page.add_init_script("{ const now = Date.now; window.shift = 0; Date.now = () => now() + shift; }")
    site.show(page, proxy.url, badge(course, "ada", name="Ada"))
    expect(number(page)).to_have_text("2")
    page.hover("live-viewer-badge")
    expect(page.locator("[part=viewer]")).to_have_count(2)
    proxy.fail()
    page.wait_for_timeout(1_500)  # a pause is under way, measured from before the change

    page.evaluate("() => { window.shift = -3 * 3_600_000; }")
    proxy.recover()

    expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live", timeout=15_000)
    others.beat(course, "eve", name="Eve")
    expect(number(page)).to_have_text("3")
    expect(page.locator("[part=viewer]")).to_have_count(3)


# What scripts of the page do.


def test_a_script_that_throws_takes_no_number_with_it(
    context: BrowserContext,
    site: Site,
    service: rig.Service,
    others: Others,
    complaints: Complaints,
    course: str,
) -> None:
    """A listener and a label of the page fail: the page hears of it, the stream and the others go on."""
    others.beat(f"{course}.b", "v0")
    page = context.new_page()
    streams = sent(page, "/v1/live")
    site.show(page, service.url, badge(course, "ada") + badge(f"{course}.b", observe=True))
    expect(number(page)).to_have_text(["1", "1"])
    page.evaluate(
        """async ([base, course]) => {
          const { PresenceSession, labels } = await import(`${base}/live-viewer-badge.js`);
          const session = new PresenceSession({ courseId: course, observe: true });
          const fail = () => { throw new Error("of the page"); };
          session.subscribe(({ count }) => { if (count?.total > 1) fail(); });
          labels.watching = (n, text) => (n === 7 ? fail() : `${text} here`);
        }""",
        [service.url, course],
    )
    page.wait_for_timeout(300)
    opened = len(streams)

    for i in range(7):
        others.beat(course, f"v{i}")
        others.beat(f"{course}.b", f"v{i}")
    others.beat(f"{course}.b", "v7")

    expect(number(page)).to_have_text(["8", "8"])
    assert state(page) == "live"
    page.wait_for_timeout(500)
    assert len(streams) == opened
    assert complaints.heard
    assert set(complaints.heard) == {"of the page"}
    complaints.heard.clear()


def test_what_is_taken_from_a_badge_comes_back(
    context: BrowserContext, site: Site, service: rig.Service, complaints: Complaints, course: str
) -> None:
    """Page morphing removes what the server did not send; without a course there is no number."""
    page = context.new_page()
    site.show(page, service.url, badge(course, "ada"))
    element = page.locator("live-viewer-badge")
    expect(element).to_have_attribute("data-state", "live")

    element.evaluate("(badge) => badge.removeAttribute('data-state')")
    expect(element).to_have_attribute("data-state", "live")
    element.evaluate("(badge) => badge.setAttribute('data-state', 'offline')")
    expect(element).to_have_attribute("data-state", "live")

    element.evaluate("(badge) => badge.removeAttribute('course-id')")
    expect(number(page)).to_have_text("\u2013")
    expect(element).to_have_attribute("data-state", "connecting")
    element.evaluate("(badge, id) => { badge.courseId = id; }", f"{course}.b")
    expect(number(page)).to_have_text("1")
    (warned,) = complaints.heard
    assert "course id" in warned
    complaints.heard.clear()


def test_a_badge_moves_to_another_document_with_its_looks(
    open_page: NewPage, others: Others, course: str
) -> None:
    """A frame, a window of its own, or picture in picture: constructed style sheets stay behind."""
    others.beat(course, "bob", name="Bob")
    page = open_page(badge(course, "ada", name="Ada") + '<iframe style="margin: 300px 0 0 300px"></iframe>')
    expect(number(page)).to_have_text("2")

    page.evaluate(
        "() => document.querySelector('iframe').contentDocument.body"
        ".append(document.querySelector('live-viewer-badge'))"
    )

    there = page.frame_locator("iframe")
    expect(there.locator("[part=count]")).to_have_text("2")
    expect(there.locator("[part=badge]")).to_have_css("display", "inline-flex")
    there.locator("live-viewer-badge").hover()
    expect(there.locator("[part=viewer]")).to_have_count(2)
    box = there.locator("[part=tooltip]").evaluate(
        "(tip) => { const r = tip.getBoundingClientRect(); return [r.left, r.right, r.top, r.bottom]; }"
    )
    assert 0 <= box[0] < box[1] <= 300
    assert 0 <= box[2] < box[3] <= 150
    there.locator("[part=badge]").press("Escape")
    expect(there.locator("[part=tooltip]")).to_be_hidden()
    page.evaluate(
        "() => document.querySelector('h1').after("
        "document.querySelector('iframe').contentDocument.querySelector('live-viewer-badge'))"
    )
    expect(page.locator("[part=badge]")).to_have_css("display", "inline-flex")


def test_keys_and_taps_of_the_badge_are_its_own(open_page: NewPage, others: Others, course: str) -> None:
    """A player's hot keys, a dialog's Escape, and a page that keeps keys and taps for itself."""
    others.beat(course, "bob", name="Bob")
    tag = badge(course, "ada", name="Ada")
    page = open_page(f"<dialog><p>A dialog {tag}</p></dialog><p id=elsewhere>elsewhere</p>")
    page.evaluate(
        """() => {
          window.played = 0;
          document.addEventListener("keydown", ({ key }) => { if (/ |Enter/.test(key)) played += 1; });
          const keep = (event) => event.stopPropagation();
          document.querySelector("#elsewhere").addEventListener("pointerdown", keep);
          document.querySelector("dialog").showModal();
        }"""
    )
    expect(number(page)).to_have_text("2")
    tooltip, button = page.locator("[part=tooltip]"), page.locator("[part=badge]")
    button.evaluate("(badge) => badge.blur()")
    button.evaluate("(badge) => badge.focus({ focusVisible: false })")
    for key in (" ", "Enter", " "):
        button.press(key)
    expect(tooltip).to_be_visible()
    assert page.evaluate("played") == 0

    page.evaluate("() => document.body.addEventListener('keydown', (event) => event.stopPropagation())")
    page.keyboard.press("Escape")
    expect(tooltip).to_be_hidden()
    assert page.evaluate("document.querySelector('dialog').open")
    page.keyboard.press("Escape")
    assert not page.evaluate("document.querySelector('dialog').open")

    page.evaluate(
        "() => { const it = document.querySelector('dialog'); it.show(); it.style.position = 'static'; }"
    )
    button.evaluate("(badge) => badge.blur()")  # a dialog gives it the focus, which opens the list
    expect(tooltip).to_be_hidden()
    button.dispatch_event("click")
    expect(tooltip).to_be_visible()
    page.locator("#elsewhere").dispatch_event("pointerdown", {"pointerType": "touch", "bubbles": True})
    expect(tooltip).to_be_hidden()


def test_a_page_without_what_test_tools_lack(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """No matchMedia (jsdom), clicks that do not say what made them (Firefox 128, Safari 18)."""
    page = context.new_page()
    page.add_init_script(
        "delete window.matchMedia;"
        "const { get } = Object.getOwnPropertyDescriptor(PointerEvent.prototype, 'pointerType');"
        "Object.defineProperty(PointerEvent.prototype, 'pointerType',"
        " { get() { return this.type === 'click' ? undefined : get.call(this); } });"
    )
    site.show(page, service.url, badge(course, "ada"))
    expect(number(page)).to_have_text("1")
    others.beat(course, "bob", name="Bob")
    expect(number(page)).to_have_text("2")

    page.hover("live-viewer-badge")
    expect(page.locator("[part=tooltip]")).to_be_visible()
    page.click("live-viewer-badge")
    page.wait_for_timeout(300)
    expect(page.locator("[part=tooltip]")).to_be_visible()


# What stands between the page and the service.


def test_a_blocker_that_stops_heartbeats_leaves_the_number_true(
    context: BrowserContext,
    site: Site,
    service: rig.Service,
    others: Others,
    complaints: Complaints,
    course: str,
) -> None:
    """Lists block by the words of an address: who is not counted is not in the number, which falls too."""
    complaints.network_may_fail = True
    for viewer in ("bob", "cleo", "dan"):
        others.beat(course, viewer)
    page = context.new_page()
    page.wait_for_timeout(1_500)
    page.route("**/heartbeat", lambda route: route.abort("blockedbyclient"))
    site.show(page, service.url, badge(course, "ada"))
    expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")

    expect(number(page)).to_have_text("3", timeout=15_000)
    others.leave(course, "bob")
    others.leave(course, "cleo")
    expect(number(page)).to_have_text("1")
    others.leave(course, "dan")
    expect(number(page)).to_have_text("0")


@pytest.mark.parametrize(
    "answer",
    [
        {"json": {}},
        {"body": ""},
        {"json": {"session_id": "x", "next_heartbeat_ms": None}},
        {"status": 429, "json": {}, "retry": 3_600},
    ],
)
def test_no_answer_makes_a_storm(
    context: BrowserContext,
    site: Site,
    service: rig.Service,
    complaints: Complaints,
    course: str,
    answer: dict[str, object],
) -> None:
    """A captive portal, a mock, a blocker's stub, a date to come back at: asked again with pauses."""
    complaints.network_may_fail = True
    given = dict(answer)
    late = email.utils.formatdate(time.time() + float(str(given.pop("retry", 0))), usegmt=True)
    headers = {**OPEN, "access-control-expose-headers": "retry-after"}
    if "status" in given:
        headers["retry-after"] = late
    page = context.new_page()
    beats = sent(page, "/heartbeat")

    def respond(route: Route) -> None:
        if route.request.method == "OPTIONS":
            route.fallback()
        else:
            route.fulfill(headers=headers, **given)  # type: ignore[arg-type]

    page.route("**/heartbeat", respond)
    site.show(page, service.url, badge(course, "ada"))
    page.wait_for_timeout(3_000)

    posts = [one for one in beats if one.method == "POST"]
    assert 1 <= len(posts) <= (1 if "status" in given else 12)


def test_times_that_no_timer_can_hold_make_no_storm(
    context: BrowserContext, site: Site, service: rig.Service, complaints: Complaints, course: str
) -> None:
    """Past 24 days a timer fires at once: a heartbeat or a stream would be asked for without a pause."""
    complaints.network_may_fail = True
    serve_stream(site, frame("count", course_id="x") + "retry: 99999999999\nevent: bye\ndata: {}\n\n")
    page = context.new_page()
    beats, streams = sent(page, "/heartbeat"), sent(page, "/v1/live")

    def later(route: Route) -> None:
        response = route.fetch()
        reply = response.json() | {"next_heartbeat_ms": 1e12}
        route.fulfill(response=response, json=reply)

    page.route("**/heartbeat", later)
    site.show(page, service.url, badge(course, "ada") + badge(course, observe=True, base_url=site.url))
    expect(number(page).first).to_have_text("1")
    page.wait_for_timeout(2_000)

    assert len([one for one in beats if one.method == "POST"]) <= 2
    assert len([one for one in streams if one.url.startswith(site.url)]) <= 5


def test_frames_without_an_origin_and_isolated_pages(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """A sandbox has neither storage nor an origin; COEP and COOP keep what they may keep."""
    inner = html.escape(blank(service.url, badge(course, "eve", name="Eve")), quote=True)
    page = context.new_page()
    page.goto(
        site.add(
            blank(
                service.url,
                badge(course, "ada", name="Ada")
                + f'<iframe sandbox="allow-scripts" srcdoc="{inner}"></iframe>',
            ),
            Cross_Origin_Embedder_Policy="require-corp",
            Cross_Origin_Opener_Policy="same-origin",
        )
    )

    expect(number(page)).to_have_text("2")
    expect(page.frame_locator("iframe").locator("[part=count]")).to_have_text("2")
    assert page.evaluate("crossOriginIsolated")


def test_a_base_url_is_read_as_addresses_of_pages_are(
    context: BrowserContext,
    site: Site,
    service: rig.Service,
    others: Others,
    complaints: Complaints,
    course: str,
) -> None:
    """Relative to <base>, in a srcdoc frame too; one without http says which attribute is wrong."""
    others.beat(course, "bob")
    base = f'<base href="{service.url}/">'
    inner = html.escape(blank(service.url, badge(course, observe=True, base_url="."), head=base), quote=True)
    page = context.new_page()
    site.show(
        page,
        service.url,
        badge(course, observe=True, base_url="./") + f'<iframe srcdoc="{inner}"></iframe>',
        head=base,
    )
    expect(number(page)).to_have_text("1")
    expect(page.frame_locator("iframe").locator("[part=count]")).to_have_text("1")
    assert complaints.heard == []

    with page.expect_event("console") as warned:
        page.evaluate("() => { document.querySelector('live-viewer-badge').baseUrl = 'localhost:8000'; }")
    assert "base-url" in warned.value.text
    assert "localhost:8000" in warned.value.text
    complaints.heard.clear()


# Who else is on it.


def test_pictures_of_those_who_stay_are_loaded_once(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """Somebody comes or goes: the others' pictures stay, and do not fall back to initials for a moment."""
    for name in ("Bob", "Cleo"):
        others.beat(course, name, name=name, avatar_url=f"https://pictures.invalid/{name}.svg")
    page = context.new_page()
    loaded: list[str] = []

    def picture(route: Route) -> None:
        loaded.append(route.request.url[-8:])
        svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
        route.fulfill(body=svg, content_type="image/svg+xml", headers={"cache-control": "no-store"})

    page.route("https://pictures.invalid/**", picture)
    site.show(page, service.url, badge(course, observe=True, show_avatars=True, max="4"))
    expect(page.locator("[part=stack] img")).to_have_count(2)
    page.hover("live-viewer-badge")
    expect(page.locator("[part=viewer] img")).to_have_count(2)
    page.evaluate(
        "() => document.querySelector('live-viewer-badge').shadowRoot.querySelectorAll('img')"
        ".forEach((img) => { img.kept = true; })"
    )
    before = len(loaded)

    others.beat(course, "Dan", name="🇩🇪 👩‍💻")
    expect(page.locator("[part=viewer]")).to_have_count(3)
    others.beat(course, "eve", name="\u202e\u200beve ́x")
    expect(page.locator("[part=viewer]")).to_have_count(4)
    others.leave(course, "Bob")
    expect(page.locator("[part=viewer]")).to_have_count(3)

    assert len(loaded) == before
    kept = "(images) => images.map((image) => Boolean(image.kept))"
    assert page.locator("live-viewer-badge img").evaluate_all(kept) == [True, True]
    initials = page.locator("[part=viewer] [part=avatar]").all_text_contents()
    assert initials[1] == "🇩🇪👩‍💻"
    assert initials[2].startswith("E")


def test_two_badges_of_a_course_announce_once(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """A header and a sidebar: a screen reader hears the number once in half a minute, not twice."""
    page = context.new_page()
    page.clock.install()
    site.show(page, service.url, badge(course, "ada") * 2)
    expect(number(page)).to_have_text(["1", "1"])
    others.beat(course, "bob")
    expect(number(page)).to_have_text(["2", "2"])

    page.clock.run_for(31_000)

    said = page.locator("live-viewer-badge [role=status]").all_text_contents()
    assert sorted(said) == ["", "2 people are watching now"]


# How servers write languages, and what a badge then says of 12,345 people.
WRITTEN = {
    "en_US": ("12.3K", "12,345 people"),
    "de_AT.UTF-8": ("12 345", "12 345 Personen"),
    "pt_BR": ("12,3 mil", "12.345 pessoas"),
    "C": ("12.3K", "12,345 people"),
    "not a language": ("12.3K", "12,345 people"),
}


def test_languages_as_servers_write_them(
    context: BrowserContext, site: Site, service: rig.Service, course: str
) -> None:
    """With an underline, an encoding, or none at all: numbers and words of that language, or English."""
    serve_stream(site, count_frame(course, 12_345))
    page = context.new_page()
    tag = badge(course, observe=True, base_url=site.url)
    site.show(page, service.url, f'<section lang="fr">{tag}</section>' * len(WRITTEN))
    labels = page.locator("[part=badge]")
    expect(labels.last).to_have_attribute("aria-label", re.compile("personnes"))

    page.evaluate(
        "(all) => document.querySelectorAll('section').forEach((one, i) => { one.lang = all[i]; })",
        list(WRITTEN),
    )

    expect(number(page)).to_have_text([text.replace(" ", "\u00a0") for text, _ in WRITTEN.values()])
    for i, (_, words) in enumerate(WRITTEN.values()):
        expect(labels.nth(i)).to_have_attribute("aria-label", re.compile(words.replace(" ", r"\s")))
