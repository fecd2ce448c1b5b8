"""What the tests of pages share: a stage with viewers, a past, a page that stays on its origin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import BrowserContext, Page, Request

from presence_svc.commands.demo import remember
from presence_svc.settings import Settings
from tests import rig
from tests.browser.stage import Others

SpawnService = Callable[..., rig.Service]
COURSES = ("python-101", "react-deep-dive", "redis-in-action", "design-systems")
VIEWERS = dict(zip(COURSES, (3, 4, 5, 6), strict=True))


def fill(service: rig.Service) -> rig.Service:
    """Viewers in each of the demo's courses: 3, 4, 5 and 6."""
    others = Others(service.url)
    for course, size in VIEWERS.items():
        for i in range(size):
            others.beat(course, f"v{i}", name=f"Viewer {i}", chapter_id=f"ch-{i + 1}")
    return service


def write_past(redis_url: str) -> None:
    """Two weeks of history of the demo's courses. In a thread: Playwright has a loop in this one."""
    settings = Settings(redis_url=redis_url)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(remember(settings, 60))).result(30)


@pytest.fixture
def stage(spawn_service: SpawnService, redis_url: str) -> rig.Service:
    """A service of the test's own, with viewers."""
    return fill(spawn_service({"PRESENCE_REDIS_URL": redis_url}))


@pytest.fixture
def stage_with_past(spawn_service: SpawnService, redis_url: str) -> rig.Service:
    """The same, two weeks old."""
    write_past(redis_url)
    return fill(spawn_service({"PRESENCE_REDIS_URL": redis_url}))


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that must ask nobody but where it came from for anything."""
    asked: list[Request] = []
    page = context.new_page()
    page.on("request", lambda request: asked.append(request))
    yield page
    own = page.url.split("/")[2]
    assert [request.url for request in asked if request.url.split("/")[2] not in (own, "")] == []
