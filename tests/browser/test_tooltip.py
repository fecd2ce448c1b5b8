"""The tooltip and the look: names by mouse, keys and touch, hostile ones too; colours and motion."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Dialog, Locator, Page, Request, expect

from tests import rig
from tests.browser.conftest import NewContext, NewPage
from tests.browser.stage import Others, Site, badge, blank, count_frame, frame, number, serve_stream

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

HOSTILE = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "<svg onload=window.pwned=1>",
    "\"><iframe src='javascript:top.pwned=1'>",
    "' onmouseover='window.pwned=1' x='",
    "javascript:window.pwned=1",
    "{{constructor.constructor('window.pwned=1')()}}",
    "${window.pwned=1}",
    "</bdi></li></ul><style>*{display:none}</style>",
    "\u202egnissapwolley\u2066",
    "<live-viewer-badge course-id=x>",
    "&lt;b&gt;",
    "a" * 80,
    "😀" * 40,
    "\u0301" * 60,
    "<math><mtext></mtext></math>",
    "-->",
]
AVATARS = [
    "https://pictures.invalid/a.png",
    "https://pictures.invalid/a.svg#<script>window.pwned=1</script>",
    "https://pictures.invalid/%22onerror=alert(1)",
    "http://pictures.invalid/plain.png",
    "javascript:window.pwned=1",
    "data:image/svg+xml,<svg onload='window.pwned=1'/>",
    "//pictures.invalid/relative.png",
    "/etc/passwd",
    "blob:https://pictures.invalid/1",
    "file:///etc/passwd",
    "HTTPS://pictures.invalid/upper.png",
    "https:pictures.invalid/no-slashes.png",
    " https://pictures.invalid/space.png",
]


def tooltip(page: Page) -> Locator:
    return page.locator("live-viewer-badge [part=tooltip]").first


def crowd(others: Others, course: str, named: int, anonymous: int = 0) -> None:
    for i in range(named):
        others.beat(course, f"v{i}", name=f"Viewer {i}")
    for i in range(anonymous):
        others.beat(course, f"a{i}", anonymous=True)


def expect_five_and_more(page: Page) -> None:
    expect(tooltip(page)).to_be_visible()
    expect(tooltip(page).locator("[part=viewer]")).to_have_count(5)
    expect(tooltip(page).locator("[part=more]")).to_have_text("+4 more")
    expect(tooltip(page)).to_contain_text("11 people are watching now")
    expect(tooltip(page)).to_contain_text("2 anonymous viewers")


@pytest.mark.parametrize("show_avatars", [True, False])
def test_hover_shows_at_most_five_names(
    open_page: NewPage, others: Others, course: str, show_avatars: bool
) -> None:
    """S7: five names, how many more, and the anonymous as a number in words."""
    crowd(others, course, 8, 2)
    page = open_page(badge(course, "ada", name="Ada", show_avatars=show_avatars))
    expect(number(page)).to_have_text("11")

    page.hover("live-viewer-badge")
    expect_five_and_more(page)
    expect(tooltip(page)).to_contain_text("Ada (you)")

    page.mouse.move(600, 500)
    expect(tooltip(page)).to_be_hidden()


def test_focus_opens_it_and_escape_closes_it(open_page: NewPage, others: Others, course: str) -> None:
    """Everything that a mouse can see, a keyboard can."""
    crowd(others, course, 8, 2)
    page = open_page(badge(course, "ada", show_avatars=True))
    expect(number(page)).to_have_text("11")

    page.keyboard.press("Tab")
    expect_five_and_more(page)
    page.keyboard.press("Escape")
    expect(tooltip(page)).to_be_hidden()
    page.keyboard.press("Enter")
    expect_five_and_more(page)
    page.keyboard.press("Enter")
    expect(tooltip(page)).to_be_hidden()


def test_touch_opens_and_closes_it(
    new_context: NewContext, open_page: NewPage, others: Others, course: str
) -> None:
    """A tap opens, a tap elsewhere closes."""
    crowd(others, course, 8, 2)
    phone = new_context(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800})
    page = open_page(badge(course, "ada", show_avatars=True), context=phone)
    expect(number(page)).to_have_text("11")

    page.tap("live-viewer-badge")
    expect_five_and_more(page)
    box = tooltip(page).bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390

    page.touchscreen.tap(200, 700)
    expect(tooltip(page)).to_be_hidden()
    page.tap("live-viewer-badge")
    expect_five_and_more(page)
    page.tap("live-viewer-badge")
    expect(tooltip(page)).to_be_hidden()


def test_an_open_tooltip_follows_who_comes(open_page: NewPage, others: Others, course: str) -> None:
    """The list is live, not a picture of the moment in which it was opened."""
    page = open_page(badge(course, "ada", name="Ada", show_avatars=True))
    expect(number(page)).to_have_text("1")
    page.hover("live-viewer-badge")
    expect(tooltip(page).locator("[part=viewer]")).to_have_count(1)

    others.beat(course, "bob", name="Bob")

    expect(tooltip(page)).to_contain_text("Bob")
    expect(tooltip(page)).to_contain_text("2 people are watching now")


def hostile(number_of: int) -> list[dict[str, str]]:
    """So many viewers, each name with another address."""
    return [
        {
            "viewer_id": f"v{i}",
            "name": HOSTILE[i % len(HOSTILE)],
            "avatar_url": AVATARS[i % len(AVATARS)],
        }
        for i in range(number_of)
    ]


def test_fifty_hostile_names_and_pictures_stay_text_and_https(
    context: BrowserContext, site: Site, service: rig.Service
) -> None:
    """H9: no name becomes code, no address but https is fetched, and no picture learns the page's address."""
    viewers = hostile(50)
    groups = [viewers[start : start + 5] for start in range(0, 50, 5)]
    frames = "".join(
        frame("viewers", course_id=f"c{i}", viewers=group, total=5, version=1) + count_frame(f"c{i}", 5)
        for i, group in enumerate(groups)
    )
    serve_stream(site, frames)
    page = context.new_page()
    asked: list[Request] = []
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    page.on("request", lambda request: asked.append(request))
    page.route("https://pictures.invalid/**", lambda route: route.fulfill(status=204))
    tags = "".join(
        badge(f"c{i}", id=f"b{i}", observe=True, show_avatars=True, base_url=site.url)
        for i in range(len(groups))
    )
    site.show(page, service.url, tags)

    for i, group in enumerate(groups):
        expect(number(page, f"#b{i}")).to_have_text("5")
        page.hover(f"#b{i}")
        names = page.locator(f"#b{i} [part=viewer] bdi")
        expect(names).to_have_count(5)
        assert names.all_text_contents() == [viewer["name"].strip() for viewer in group]

    pictures = [r for r in asked if r.resource_type == "image" and "favicon" not in r.url]
    assert {request.url.split("/")[0] for request in pictures} == {"https:"}
    assert len(pictures) > 10
    assert all("referer" not in request.all_headers() for request in pictures)
    assert dialogs == []
    assert page.evaluate("window.pwned") is None


def test_without_show_avatars_no_picture_is_fetched(
    context: BrowserContext, site: Site, service: rig.Service, course: str
) -> None:
    """Names by request, faces only where the page asked for them: a picture tells its server who looks."""
    page = context.new_page()
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    page.route("**/viewers?limit=5", lambda route: route.fulfill(json={"viewers": hostile(5)}))
    site.show(page, service.url, badge(course, "ada"))
    expect(number(page)).to_have_text("1")

    page.hover("live-viewer-badge")

    names = tooltip(page).locator("[part=viewer] bdi")
    expect(names).to_have_count(5)
    assert names.all_text_contents() == [viewer["name"] for viewer in hostile(5)]
    assert [r.url for r in asked if r.resource_type == "image" and "favicon" not in r.url] == []
    assert page.evaluate("window.pwned") is None


def test_a_strict_policy_of_the_page_forbids_nothing_that_it_needs(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """The badge is at home under a policy without inline styles and scripts, and with trusted types."""
    others.beat(course, "bob", name="Bob")
    page = context.new_page()
    policy = (
        f"default-src 'none'; script-src {service.url}; connect-src {service.url}; "
        "style-src 'none'; require-trusted-types-for 'script'"
    )

    page.goto(
        site.add(
            blank(service.url, badge(course, "ada", show_avatars=True)),
            Content_Security_Policy=policy,
        )
    )

    expect(number(page)).to_have_text("2")
    page.hover("live-viewer-badge")
    expect(tooltip(page)).to_contain_text("Bob")
    assert page.locator("live-viewer-badge [part=badge]").evaluate(
        "(badge) => getComputedStyle(badge).display"
    ) in ("inline-flex", "flex")


def test_axe_finds_nothing(open_page: NewPage, others: Others, axe: str, course: str) -> None:
    """Accessible closed and open, alone and within a link."""
    crowd(others, course, 8, 2)
    tags = badge(course, "ada", name="Ada", show_avatars=True)
    page = open_page(tags + f'<p><a href="#x">A card {badge(course, observe=True)}</a></p>')
    expect(number(page).first).to_have_text("11")
    page.hover("live-viewer-badge >> nth=0")
    expect(tooltip(page)).to_be_visible()

    assert violations(page, axe) == []


def violations(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found: list[dict[str, object]] = page.evaluate("axe.run().then((result) => result.violations)")
    return [f"{one['id']}: {one['help']}" for one in found]


def test_a_badge_in_a_link_is_no_second_stop(open_page: NewPage, course: str) -> None:
    """A catalogue card is one link for the keyboard, not two things in one."""
    page = open_page(f'<a href="#x">card {badge(course, observe=True)}</a> {badge(course, "ada")}')
    expect(number(page).last).to_have_text("1")

    stops = page.locator("live-viewer-badge [part=badge]").evaluate_all(
        "(badges) => badges.map((badge) => badge.tabIndex)"
    )

    assert stops == [-1, 0]


def test_screen_readers_hear_of_it_at_most_every_half_minute(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """Polite: many changes are one announcement, the newest."""
    page = context.new_page()
    page.clock.install()
    site.show(page, service.url, badge(course, "ada"))
    expect(number(page)).to_have_text("1")
    page.evaluate(
        """() => {
          window.said = [];
          const root = document.querySelector("live-viewer-badge").shadowRoot;
          const status = root.querySelector("[role=status]");
          new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
        }"""
    )
    for i in range(5):
        others.beat(course, f"v{i}")
    expect(number(page)).to_have_text("6")
    assert page.evaluate("said") == []

    page.clock.run_for(31_000)
    assert page.evaluate("said") == ["6 people are watching now"]
    others.beat(course, "v6")
    expect(number(page)).to_have_text("7")
    page.clock.run_for(25_000)
    assert len(page.evaluate("said")) == 1
    page.clock.run_for(6_000)
    assert page.evaluate("said")[1:] == ["7 people are watching now"]


def test_reduced_motion_stills_the_pulse(new_context: NewContext, open_page: NewPage, course: str) -> None:
    """Who asks for less motion gets none; others see the pulse only while the number is live."""
    running = "(ring) => getComputedStyle(ring).animationName"
    calm = open_page(badge(course, "ada"), context=new_context(reduced_motion="reduce"))
    lively = open_page(badge(course, "bob"), context=new_context(reduced_motion="no-preference"))
    expect(number(calm)).to_have_text("2")

    assert calm.locator("live-viewer-badge .ring").evaluate(running) == "none"
    assert lively.locator("live-viewer-badge .ring").evaluate(running) == "pulse"


def test_dark_pages_forced_colours_and_right_to_left(
    new_context: NewContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """The badge takes the page's scheme and direction, and keeps its outline in forced colours."""
    others.beat(course, "bob", name="בוב")
    head = '<meta name="color-scheme" content="light dark">'
    address = site.add(
        blank(service.url, badge(course, "ada", show_avatars=True), head=head).replace(
            '<html lang="en">', '<html lang="he" dir="rtl">'
        )
    )
    colour = "(element) => getComputedStyle(element).backgroundColor"
    seen = {}
    for scheme in ("light", "dark"):
        page = new_context(color_scheme=scheme, forced_colors="none").new_page()
        page.goto(address)
        expect(number(page)).to_have_text("2")
        page.hover("live-viewer-badge")
        seen[scheme] = tooltip(page).evaluate(colour)
        box = tooltip(page).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 1280
    assert seen["light"] == "rgb(255, 255, 255)"
    assert re.fullmatch(r"rgb\((\d{1,2}), (\d{1,2}), (\d{1,2})\)", seen["dark"])

    forced = new_context(forced_colors="active").new_page()
    forced.goto(address)
    expect(number(forced)).to_have_text("2")
    border = forced.locator("[part=badge]").evaluate("(b) => getComputedStyle(b).borderTopColor")
    text = forced.locator("[part=badge]").evaluate("(b) => getComputedStyle(b).color")
    assert border == text


def test_large_numbers_are_compact_in_the_pages_language(
    context: BrowserContext, site: Site, service: rig.Service, course: str
) -> None:
    """12,345 is short in the badge and exact in words; the language is the page's."""
    serve_stream(site, count_frame(course, 12_345))
    page = context.new_page()
    tag = badge(course, observe=True, base_url=site.url)
    site.show(page, service.url, f'{tag}<p lang="de">{tag}</p><p lang="no such">{tag}</p>')

    expect(number(page).nth(0)).to_have_text("12.3K")
    expect(number(page).nth(1)).to_have_text("12.345")
    expect(number(page).nth(2)).to_have_text("12.3K")
    expect(page.locator("[part=badge]").first).to_have_attribute(
        "aria-label", "12,345 people are watching now"
    )


def test_words_can_be_translated(
    open_page: NewPage, service: rig.Service, others: Others, course: str
) -> None:
    """`labels` holds every word that a badge says."""
    crowd(others, course, 2)
    page = open_page("")
    page.evaluate(
        """async ([base, id]) => {
          const { labels } = await import(`${base}/live-viewer-badge.js`);
          labels.watching = (n, text) => `${text} schauen zu`;
          const badge = document.createElement("live-viewer-badge");
          Object.assign(badge, { courseId: id, observe: true });
          document.querySelector("main").append(badge);
        }""",
        [service.url, course],
    )

    expect(number(page)).to_have_text("2")
    page.hover("live-viewer-badge")
    expect(tooltip(page)).to_contain_text("2 schauen zu")


SMALL = {"320x256": (320, 256, 1.0), "zoomed": (1280, 1024, 4.0), "phone": (390, 700, 1.0)}


@pytest.mark.parametrize("place", ["top", "bottom", "end"])
@pytest.mark.parametrize("size", SMALL)
def test_the_tooltip_is_inside_of_any_window(
    new_context: NewContext, open_page: NewPage, others: Others, course: str, size: str, place: str
) -> None:
    """320 by 256 pixels, or 400 % zoom: all of it can be seen, scrolled where it must be."""
    width, height, zoom = SMALL[size]
    crowd(others, course, 8, 2)
    viewport = {"width": int(width / zoom), "height": int(height / zoom)}
    small = new_context(viewport=viewport, device_scale_factor=zoom)
    where = {"top": "top: 4px; left: 4px", "bottom": "bottom: 4px; left: 4px", "end": "top: 45%; right: 2px"}
    style = f"<style>body {{ margin: 0 }} p {{ position: fixed; {where[place]}; margin: 0 }}</style>"
    long_name = badge(course, "ada", name="Ada " + "Lovelace " * 8, show_avatars=True)
    page = open_page(f"<p>{long_name}</p>", head=style, context=small)
    expect(number(page)).to_have_text("11")

    page.hover("live-viewer-badge")
    expect(tooltip(page)).to_be_visible()
    expect(tooltip(page).locator("[part=viewer]")).to_have_count(5)
    page.wait_for_timeout(300)

    box = tooltip(page).bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= viewport["width"]
    assert box["y"] + box["height"] <= viewport["height"]
    last = tooltip(page).locator(".note").nth(1)
    last.scroll_into_view_if_needed()
    expect(last).to_be_in_viewport()


@pytest.mark.parametrize("value", ["false", "true", "", "show-avatars"])
def test_false_is_off(open_page: NewPage, others: Others, course: str, value: str) -> None:
    """Vue and templates write show-avatars="false": that is not true."""
    page = open_page(f'<live-viewer-badge course-id="{course}" show-avatars="{value}" observe="{value}">')
    element = page.locator("live-viewer-badge")

    seen = element.evaluate("(badge) => [badge.showAvatars, badge.observe]")

    assert seen == [value != "false"] * 2
    element.evaluate("(badge) => { badge.showAvatars = true; badge.observe = 'false'; }")
    assert element.evaluate("(badge) => [badge.showAvatars, badge.observe]") == [True, False]


def test_forced_colours_keep_what_there_is_to_see(
    new_context: NewContext, open_page: NewPage, others: Others, course: str
) -> None:
    """The eye, its dot, faces and rows have colours of the system, which differ from the ground."""
    crowd(others, course, 3)
    page = open_page(badge(course, "ada", name="Ada", max="3"), context=new_context(forced_colors="active"))
    expect(number(page)).to_have_text("4")
    page.hover("live-viewer-badge")
    expect(tooltip(page).locator("[part=viewer]")).to_have_count(4)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")

    def colour(selector: str, name: str) -> str:
        found = page.locator(f"live-viewer-badge {selector}").first
        return str(found.evaluate("(part, name) => getComputedStyle(part)[name]", name))

    seen = {
        colour(".pupil", "fill"),
        colour("[part=icon]", "stroke"),
        colour("[part=viewer] [part=avatar]", "borderTopColor"),
        colour("[part=stack] [part=avatar]", "borderTopColor"),
        colour("[part=tooltip]", "borderTopColor"),
        colour("[part=viewer] bdi", "color"),
    }
    assert ground not in seen
    assert "none" not in seen
