"""Fixtures of the browser room: one Chromium, a service on a real Redis, and pages that must not complain."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the extra `browser` is not installed")

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from presence_svc.store.redis.embedded import EmbeddedServer
from tests import rig
from tests.browser.pages import page, stage, stage_with_past
from tests.browser.stage import CHROMIUM_FLAGS, Others, Proxy, Site

__all__ = ["page", "stage", "stage_with_past"]  # fixtures of the pages
TOOLING = rig.ROOT / "presence_svc/badge"
expect.set_options(timeout=10_000)  # ms; the default of 5 s is short for a first page on a busy machine
NewPage = Callable[..., Page]
NewContext = Callable[..., BrowserContext]
NETWORK = re.compile(r"Failed to load resource|blocked by CORS policy|net::ERR_")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or whichever is on the PATH; the back/forward cache as users have it."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        rig.missing("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path,
            args=CHROMIUM_FLAGS,
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[EmbeddedServer]:
    """One Redis for the tests that leave it and the service alone; courses keep them apart."""
    with rig.real_server(rig.VALKEY) as server:
        yield server


@pytest.fixture(scope="session")
def service(shared_redis: EmbeddedServer) -> Iterator[rig.Service]:
    """The service with default settings, for the tests that do not break it."""
    with rig.Service({"PRESENCE_REDIS_URL": shared_redis.url}) as running:
        yield running


@pytest.fixture
def others(service: rig.Service) -> Others:
    return Others(service.url)


@pytest.fixture
def site() -> Iterator[Site]:
    """Another origin."""
    running = Site()
    yield running
    running.close()


@pytest.fixture
def proxy(service: rig.Service) -> Iterator[Proxy]:
    running = Proxy(service.port)
    yield running
    running.close()


@pytest.fixture
def course(request: pytest.FixtureRequest) -> str:
    """A course of the test's own."""
    return str(request.node.name)[:100].replace("[", ".").replace("]", "")


class Complaints:
    """What pages wrote to the console or threw. A test that breaks the network says so beforehand."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.network_may_fail = False

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.heard.append(message.text)

    def unexpected(self) -> list[str]:
        if not self.network_may_fail:
            return self.heard
        return [text for text in self.heard if not NETWORK.search(text)]


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """No page of any test may write an error or a warning, or throw."""
    found = Complaints()
    yield found
    assert found.unexpected() == []


@pytest.fixture
def new_context(
    browser: Browser, complaints: Complaints, spawn_service: Callable[..., rig.Service], site: Site
) -> Iterator[NewContext]:
    """A browser profile of its own: another person, or the same one with other preferences.

    Asks for `spawn_service` and `site` only to be closed before them: a page whose service ends would
    complain, and so would one that still asks for its icon when its site ends.
    """
    opened: list[BrowserContext] = []

    def new(**options: object) -> BrowserContext:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        context.set_default_timeout(10_000)
        context.on("console", complaints.on_console)
        context.on("weberror", lambda error: complaints.heard.append(str(error.error)))
        opened.append(context)
        return context

    yield new
    for context in opened:
        context.close()


@pytest.fixture
def context(new_context: NewContext) -> BrowserContext:
    return new_context()


@pytest.fixture
def open_page(context: BrowserContext, site: Site, service: rig.Service) -> NewPage:
    """Opens a page of another site with the given body: `open_page(badge("c1", "u1"))`."""

    def open_(body: str, *, base_url: str = "", head: str = "", **where: BrowserContext) -> Page:
        page = where.get("context", context).new_page()
        site.show(page, base_url or service.url, body, head=head)
        return page

    return open_


@pytest.fixture(scope="session")
def tooling() -> Path:
    """presence_svc/badge with what its package.json names; installed by npm when it is not there."""
    return rig.npm_packages(TOOLING, "tsc")


@pytest.fixture(scope="session")
def axe(tooling: Path) -> str:
    """axe-core, to be run within a page."""
    return (tooling / "node_modules/axe-core/axe.min.js").read_text()
