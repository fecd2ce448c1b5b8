"""What a badge says: in the language and direction of what it stands in, with the plural forms it has."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Request, expect

from tests import rig
from tests.browser.conftest import Complaints, NewPage
from tests.browser.stage import Others, Site, badge, count_frame, serve_stream

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

# For 1, 2, 5 and 22 people.
WATCHING = {
    "en": ["1 person is", "2 people are", "5 people are", "22 people are"],
    "de": ["1 Person schaut", "2 Personen schauen", "5 Personen schauen", "22 Personen schauen"],
    "fr": ["1 personne regarde", "2 personnes regardent", "5 personnes regardent", "22 personnes regardent"],
    "es": ["1 persona está", "2 personas están", "5 personas están", "22 personas están"],
    "pt-BR": ["1 pessoa está", "2 pessoas estão", "5 pessoas estão", "22 pessoas estão"],
    "it": ["1 persona sta", "2 persone stanno", "5 persone stanno", "22 persone stanno"],
    "nl": ["1 persoon kijkt", "2 mensen kijken", "5 mensen kijken", "22 mensen kijken"],
    "pl": ["1 osoba ogląda", "2 osoby oglądają", "5 osób ogląda", "22 osoby oglądają"],
    "ja": ["現在1人が", "現在2人が", "現在5人が", "現在22人が"],
    "ar": ["شخص واحد", "شخصان", "5 أشخاص", "22 شخصًا"],
}


def label(page: Page) -> Locator:
    return page.locator("live-viewer-badge [part=badge]")


@pytest.mark.parametrize("language", WATCHING)
def test_plurals_are_those_of_the_language(
    context: BrowserContext, site: Site, service: rig.Service, course: str, language: str
) -> None:
    """By Intl.PluralRules: Polish has four, Arabic six, Japanese one."""
    serve_stream(site, "".join(count_frame(f"{course}.{n}", n) for n in (1, 2, 5, 22)))
    page = context.new_page()
    tags = "".join(badge(f"{course}.{n}", observe=True, base_url=site.url) for n in (1, 2, 5, 22))
    site.show(page, service.url, f'<div lang="{language}">{tags}</div>')

    for i, text in enumerate(WATCHING[language]):
        expect(label(page).nth(i)).to_have_attribute("aria-label", re.compile("^" + re.escape(text)))


def test_every_language_says_everything(open_page: NewPage, service: rig.Service) -> None:
    """No word is missing in any language, and none is left in English."""
    page = open_page("")

    missing = page.evaluate(
        """async (base) => {
          const { labels } = await import(`${base}/live-viewer-badge.js`);
          const { words } = await import(`${base}/live-viewer-badge-languages.js`);
          const missing = [];
          for (const language of ["de", "fr", "es", "pt", "it", "nl", "pl", "ja", "ar"]) {
            const said = words(language);
            for (const [name, english] of Object.entries(labels)) {
              const call = (word) => (typeof word === "function" ? word(3, "3") : word);
              const isSame = typeof said[name] !== typeof english || call(said[name]) === call(english);
              if (isSame || !call(said[name])) missing.push(`${language} ${name}`);
            }
          }
          return missing.concat(words("xx") ?? []);
        }""",
        service.url,
    )

    assert missing == []


def test_english_pages_load_no_other_language(
    context: BrowserContext, site: Site, service: rig.Service, others: Others, course: str
) -> None:
    """The words of others are a file of their own, for the first badge that speaks one of them."""
    others.beat(course, "bob")
    page = context.new_page()
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request) if "languages" in request.url else None)
    site.show(page, service.url, badge(course, observe=True))
    expect(label(page)).to_have_attribute("aria-label", "1 person is watching now")
    assert asked == []

    page.evaluate("document.documentElement.lang = 'de'")

    expect(label(page)).to_have_attribute("aria-label", "1 Person schaut gerade zu")
    page.evaluate("document.querySelector('live-viewer-badge').lang = 'fr'")
    expect(label(page)).to_have_attribute("aria-label", "1 personne regarde en ce moment")
    assert len(asked) == 1


def test_a_language_that_cannot_be_had_is_english(
    context: BrowserContext,
    site: Site,
    service: rig.Service,
    others: Others,
    complaints: Complaints,
    course: str,
) -> None:
    """A policy or an old copy without the file: the number and English words stay."""
    others.beat(course, "bob")
    page = context.new_page()
    page.route("**/live-viewer-badge-languages.js", lambda route: route.fulfill(status=200, body="no module"))
    site.show(page, service.url, badge(course, observe=True, lang="de"))

    expect(label(page)).to_have_attribute("aria-label", "1 person is watching now")
    complaints.heard.clear()  # what the browser says of such a file


def test_ones_own_words_go_before(
    open_page: NewPage, service: rig.Service, others: Others, course: str
) -> None:
    """What the page puts into `labels` is said in every language; the rest stays translated."""
    others.beat(course, "bob", anonymous=True)
    page = open_page(badge(course, observe=True, lang="de"))
    page.evaluate(
        """async (base) => {
          const { labels } = await import(`${base}/live-viewer-badge.js`);
          labels.watching = (n, text) => `${text} im Saal`;
          document.querySelector("live-viewer-badge").lang = "de-AT";
        }""",
        service.url,
    )

    expect(label(page)).to_have_attribute("aria-label", "1 im Saal")
    page.hover("live-viewer-badge")
    expect(page.locator("[part=tooltip]")).to_contain_text("1 anonyme Person")


@pytest.mark.parametrize(
    ("attributes", "direction"),
    [({"lang": "ar"}, "rtl"), ({"lang": "ar", "dir": "ltr"}, "ltr"), ({"dir": "rtl"}, "rtl"), ({}, "ltr")],
)
def test_a_badge_has_its_own_language_and_direction(
    open_page: NewPage, others: Others, course: str, attributes: dict[str, str], direction: str
) -> None:
    """`lang` and `dir` on the element itself; a language that runs the other way brings its direction."""
    others.beat(course, "bob", name="Bob")
    page = open_page(badge(course, observe=True, **attributes))
    expect(page.locator("[part=count]")).to_have_text("1")
    page.hover("live-viewer-badge")

    for part in ("badge", "tooltip"):
        found = page.locator(f"[part={part}]").evaluate("(part) => getComputedStyle(part).direction")
        assert found == direction
