"""Browsers as old as Safari 15, Firefox 90 and Chrome 92: what they lack is deleted, and all works."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Route, expect

from tests import rig
from tests.browser.stage import Others, Site, badge, number, until_holds, until_total

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

# Younger than the oldest browsers that the badge is for, each with the first that has it.
YOUNG = {
    "URL.canParse": "Chrome 120, Safari 17",
    "AbortSignal.timeout": "Chrome 103, Safari 16",
    "AbortSignal.any": "Chrome 116",
    "AbortSignal.prototype.throwIfAborted": "Chrome 100",
    "BroadcastChannel": "Safari 15.4",
    "structuredClone": "Chrome 98, Safari 15.4",
    "Object.hasOwn": "Chrome 93, Safari 15.4",
    "Array.prototype.at": "Safari 15.4",
    "Array.prototype.findLast": "Chrome 97",
    "Array.prototype.toSorted": "Chrome 110",
    "Object.groupBy": "Chrome 117",
    "Map.groupBy": "Chrome 117",
    "Promise.withResolvers": "Chrome 119",
    "Promise.try": "Chrome 128",
    "String.prototype.isWellFormed": "Chrome 111",
    "String.prototype.toWellFormed": "Chrome 111",
    "String.prototype.at": "Safari 15.4",
    "Set.prototype.union": "Chrome 122",
    "Iterator": "Chrome 122",
    "crypto.randomUUID": "https only",
    "navigator.locks": "https only, Safari 15.4",
    "CSSStyleSheet.prototype.replaceSync": "Safari 16.4",
    "Document.prototype.adoptedStyleSheets": "Safari 16.4",
    "ShadowRoot.prototype.adoptedStyleSheets": "Safari 16.4",
    "HTMLElement.prototype.showPopover": "Chrome 114, Safari 17",
    "HTMLElement.prototype.hidePopover": "Chrome 114, Safari 17",
    "HTMLElement.prototype.popover": "Chrome 114, Safari 17",
    "Element.prototype.checkVisibility": "Chrome 105",
    "Element.prototype.moveBefore": "Chrome 133",
    "ReadableStream.prototype[Symbol.asyncIterator]": "Chrome 124",
    "Request.prototype.keepalive": "Firefox 133",
    "scheduler": "Chrome 94",
    "navigation": "Chrome 102",
    "Temporal": "Chrome 144",
    "Response.prototype.bytes": "Chrome 132",
    "Array.prototype.findLastIndex": "Chrome 97",
    "Array.prototype.toReversed": "Chrome 110",
    "Array.prototype.with": "Chrome 110",
    "Array.fromAsync": "Chrome 121",
    "Intl.Segmenter": "Firefox 125",
    "Intl.DurationFormat": "Chrome 129",
    "Intl.supportedValuesOf": "Chrome 99, Safari 15.4",
    "TextDecoderStream": "Firefox 105",
    "CompressionStream": "Firefox 113, Safari 16.4",
    "ElementInternals": "Firefox 93, Safari 16.4",
    "HTMLElement.prototype.attachInternals": "Firefox 93, Safari 16.4",
    "HTMLElement.prototype.togglePopover": "Chrome 114, Safari 17",
    "requestIdleCallback": "not in Safari",
    "crypto.subtle": "https only",
    "navigator.connection": "not in Firefox and Safari",
    "navigator.userAgentData": "not in Firefox and Safari",
    "Document.prototype.startViewTransition": "Chrome 111, Safari 18",
}
DELETE = """
(names) => {
  for (const name of names) {
    const path = name.replace("[Symbol.asyncIterator]", "").split(".");
    const last = name.endsWith("]") ? Symbol.asyncIterator : path.pop();
    let at = globalThis;
    for (const part of path) at = at?.[part];
    if (!at) continue;
    delete at[last];
    if (last in at) delete Object.getPrototypeOf(at)[last];
    if (last in at) throw new Error(`${name} is still there`);
  }
  const make = Reflect.construct;
  globalThis.CSSStyleSheet = class { constructor() { throw new TypeError("Illegal constructor"); } };
}
"""


def old(names: list[str]) -> str:
    return f"({DELETE})({names!r})"


# Old, but gone where a visitor, an extension or an embedding switches it off.
MISSING = ["navigator.sendBeacon", "matchMedia", "localStorage", "sessionStorage", "ResizeObserver"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("third", range(3))
def test_each_alone_may_be_missing(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str, third: int
) -> None:
    """Counted, live, in a list of names, and gone again, whatever one thing is not there."""
    for i, name in enumerate([*YOUNG, *MISSING][third::3]):
        here = f"{course}.{i}"
        others.beat(here, "bob", name="Bob")
        page = context.new_page()
        page.add_init_script(old([name]))
        site.show(page, service.url, badge(here, "ada", name="Ada", show_avatars=True))

        expect(number(page), name).to_have_text("2")
        expect(page.locator("live-viewer-badge"), name).to_have_attribute("data-state", "live")
        others.beat(here, "eve", name="Eve")
        expect(number(page), name).to_have_text("3")
        page.hover("live-viewer-badge")
        expect(page.locator("[part=viewer] bdi"), name).to_have_text(["Ada (you)", "Bob", "Eve"])
        page.evaluate("document.querySelector('live-viewer-badge').remove()")
        until_total(page, others, here, 2)
        page.close()


@pytest.mark.parametrize("missing", ["navigator.sendBeacon", "Request.prototype.keepalive"])
def test_who_closes_the_page_has_left_by_either_way(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str, missing: str
) -> None:
    """S5: a beacon where requests cannot outlive their page, and the other way round."""
    others.beat(course, "bob")
    page = context.new_page()
    page.add_init_script(old([missing]))
    site.show(page, service.url, badge(course, "ada"))
    until_total(page, others, course, 2)

    page.goto(site.add("<title>elsewhere</title>"))

    until_total(page, others, course, 1)


def test_what_is_deleted_is_gone(context: BrowserContext) -> None:
    """The test itself deletes what it says."""
    page = context.new_page()
    page.add_init_script(old(list(YOUNG)))
    page.goto("about:blank")

    assert page.evaluate("[URL.canParse, AbortSignal.timeout, typeof BroadcastChannel, navigator.locks]") == [
        None,
        None,
        "undefined",
        None,
    ]
    assert page.evaluate("'showPopover' in document.body || 'keepalive' in Request.prototype") is False


def test_a_badge_of_an_old_browser_does_all_that_it_does(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """Counted, live, named with pictures, moved, and gone when it goes."""
    others.beat(course, "bob", name="Bob", avatar_url="https://pictures.invalid/b.png")
    page = context.new_page()
    page.add_init_script(old(list(YOUNG)))
    pictures: list[str] = []

    def picture(route: Route) -> None:
        pictures.append(route.request.url)
        route.fulfill(status=204)

    page.route("https://pictures.invalid/**", picture)
    site.show(page, service.url, badge(course, "ada", name="Ada", show_avatars=True, max="2", lang="de"))

    expect(number(page)).to_have_text("2")
    expect(page.locator("live-viewer-badge")).to_have_attribute("data-state", "live")
    expect(page.locator("[part=badge]")).to_have_css("display", "inline-flex")
    others.beat(course, "eve", name="Eve")
    expect(number(page)).to_have_text("3")
    page.hover("live-viewer-badge")
    expect(page.locator("[part=viewer]")).to_have_text(["AAda (du)", "BBob", "EEve"])
    expect(page.locator("[part=tooltip]")).to_be_visible()
    assert pictures
    page.evaluate("() => { document.querySelector('live-viewer-badge').chapterId = 'ch-2'; }")
    until_holds(page, lambda: others.count(course)["chapters"] == {"ch-2": 1})

    page.goto(site.add("<title>elsewhere</title>"))

    until_total(page, others, course, 2)
