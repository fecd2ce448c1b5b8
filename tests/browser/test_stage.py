"""What browser tests stand on: waiting works under any policy of a page, and the rest is not used."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.stage import Site, until

HERE = Path(__file__).parent
FORBIDDEN = "wait_for_" + "function"


def test_no_test_waits_by_a_function_of_the_page() -> None:
    """It evaluates within the page, which our own pages' policy forbids once the first look was too early."""
    found = [path.name for path in sorted(HERE.glob("*.py")) if f".{FORBIDDEN}(" in path.read_text()]

    assert found == []


@pytest.mark.browser
def test_waiting_works_under_any_policy_and_over_a_navigation(context: BrowserContext, site: Site) -> None:
    """A page that allows no eval becomes ready later; another one takes its place meanwhile."""
    policy = {"Content_Security_Policy": "default-src 'none'; script-src 'unsafe-inline'"}
    later = "<script>setTimeout(() => { window.ready = 1; }, 300)</script>"
    elsewhere = site.add(f"<title>b</title>{later}", **policy)
    page = context.new_page()
    page.goto(site.add(f"<title>a</title>{later}", **policy))

    until(page, "window.ready === 1")
    page.evaluate("(url) => { setTimeout(() => { location.href = url; }, 50); }", elsewhere)
    until(page, "document.title === 'b' && window.ready === 1")
    with pytest.raises(AssertionError, match=r"not true within 200 ms: window\.nothing"):
        until(page, "window.nothing", timeout_ms=200)
