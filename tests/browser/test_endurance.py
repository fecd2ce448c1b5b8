"""What shows only after a while or in numbers: memory over many changes, and the time from join to pixels."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect

from tests import rig
from tests.browser.conftest import NewContext
from tests.browser.stage import Site, badge, number

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CHANGES = 1_000
JOINS = 20


def test_memory_is_flat_over_a_thousand_changes(
    context: BrowserContext,
    site: Site,
    spawn_service: Callable[..., rig.Service],
    redis_url: str,
    course: str,
) -> None:
    """A tab that is open all day must not grow: same elements, same listeners, hardly a byte a change."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url, "PRESENCE_PUBLISH_INTERVAL": "0.005"})
    page = context.new_page()
    site.show(page, service.url, badge(course, "ada", name="Ada", show_avatars=True))
    page.hover("live-viewer-badge")
    expect(number(page)).to_have_text("1")
    session = context.new_cdp_session(page)
    session.send("Performance.enable")

    def measure() -> dict[str, float]:
        for _ in range(3):
            session.send("HeapProfiler.collectGarbage")
        metrics = session.send("Performance.getMetrics")["metrics"]
        return {one["name"]: one["value"] for one in metrics}

    page.evaluate("window.changes = 0; addEventListener('presence-change', () => { changes += 1; });")
    make_changes(page.evaluate, service.url, course, 100)
    before = measure()
    make_changes(page.evaluate, service.url, course, CHANGES)
    after = measure()

    assert page.evaluate("changes") >= CHANGES
    assert after["Nodes"] - before["Nodes"] < 50
    assert after["JSEventListeners"] - before["JSEventListeners"] < 10
    assert after["JSHeapUsedSize"] - before["JSHeapUsedSize"] < 300 * CHANGES


def make_changes(evaluate, url: str, course: str, number_of: int) -> None:  # type: ignore[no-untyped-def]
    """Chapter moves of another headless viewer, each awaited until the badge has heard of it."""
    evaluate(
        """async ([base, courseId, n]) => {
          const { PresenceSession } = await import(`${base}/live-viewer-badge.js`);
          const mover = window.mover ??= new PresenceSession({ courseId, viewerId: "mo", baseUrl: base });
          const until = (test) => new Promise((resolve) => {
            const check = () => test() ? resolve() : setTimeout(check, 1);
            check();
          });
          for (let i = 0; i < n; i += 1) {
            const chapterId = `ch-${(window.moves = ((window.moves ?? 0) + 1) % 10)}`;
            mover.update({ chapterId });
            await until(() => mover.snapshot.count?.chapters[chapterId] === 1);
          }
        }""",
        [url, course, number_of],
    )


@pytest.mark.benchmark
def test_join_to_pixels(
    new_context: NewContext, site: Site, service: rig.Service, course: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """From one viewer's element to another viewer's painted number, and from navigation to one's own."""
    watcher = new_context().new_page()
    site.show(watcher, service.url, badge(course, "watcher"))
    expect(number(watcher)).to_have_text("1")
    watcher.evaluate(
        """() => {
          window.painted = [];
          document.querySelector("live-viewer-badge").addEventListener("presence-change", (event) =>
            requestAnimationFrame(() => setTimeout(() => painted.push([event.detail.total, Date.now()]))));
        }"""
    )
    joiner = new_context().new_page()
    site.show(joiner, service.url, "")
    across, own = [], []

    for i in range(JOINS):
        watcher.wait_for_timeout(400)  # beyond PUBLISH_INTERVAL: each join is published at once
        joined_at, shown_at = joiner.evaluate(
            """async ([id, viewer]) => {
              const badge = document.createElement("live-viewer-badge");
              Object.assign(badge, { courseId: id, viewerId: viewer });
              const shown = new Promise((resolve) => badge.addEventListener("presence-change", () =>
                requestAnimationFrame(() => setTimeout(() => resolve(Date.now()))), { once: true }));
              const start = Date.now();
              document.querySelector("main").append(badge);
              return [start, await shown];
            }""",
            [course, f"joiner-{i}"],
        )
        expect(number(watcher)).to_have_text(str(i + 2))
        watcher.wait_for_timeout(50)
        painted_at = dict(watcher.evaluate("painted"))
        across.append(painted_at[i + 2] - joined_at)
        own.append(shown_at - joined_at)

    with capsys.disabled():
        print(
            f"\n{JOINS} joins, to one's own pixels: median {statistics.median(own):.0f} ms; "
            f"to another browser's: median {statistics.median(across):.0f} ms, slowest {max(across):.0f} ms"
        )
    assert statistics.median(across) < 2_000
