"""The parts of commands that need no process: the crowd, the summary, exposure, the workers' status."""

from __future__ import annotations

import random
from collections.abc import Iterator
from io import StringIO
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from rich.console import Console, RenderableType

from presence_svc.app import app_from_env
from presence_svc.commands import simulate, watch, workers
from presence_svc.commands.crowd import CHAPTERS, COURSES, NAMES, Crowd, Viewer
from presence_svc.commands.serve import check_exposure, server_options
from presence_svc.commands.simulate import Tally, percentile
from presence_svc.errors import Misconfigured
from presence_svc.model import Count, Heartbeat, Leave
from presence_svc.settings import load

STEP_S = 0.5


def _live(crowd: Crowd, minutes: float) -> Iterator[tuple[list[Viewer], list[Viewer]]]:
    """Lets a crowd live; everybody beats again 27 s after a beat, as the service asks for."""
    for step in range(int(minutes * 60 / STEP_S)):
        due, gone = crowd.step(step * STEP_S, STEP_S)
        for viewer in due:
            viewer.beats_at = step * STEP_S + 27
        yield due, gone


def _printed(what: RenderableType) -> str:
    paper = StringIO()
    Console(file=paper, width=100).print(what)
    return paper.getvalue()


def test_a_crowd_gathers_and_keeps_its_size() -> None:
    """Within a minute the seats are taken, and they stay so while viewers come and go."""
    crowd = Crowd(60, chance=random.Random(7))

    sizes = [len(crowd.viewers) for _ in _live(crowd, 10)]

    assert 15 < sizes[10 * 2] < 50, "they do not all come at once"
    assert all(45 <= size <= 75 for size in sizes[60 * 2 :])
    assert len(set(sizes[60 * 2 :])) > 3


def test_what_viewers_say_is_what_the_service_takes() -> None:
    """Each heartbeat and leave is valid, of a known course and chapter, and later than the one before."""
    crowd = Crowd(40, chance=random.Random(7))
    said: dict[str, int] = {}

    for due, gone in _live(crowd, 5):
        beats = [Heartbeat.model_validate(viewer.heartbeat()) for viewer in due]
        for beat in beats:
            assert beat.chapter_id in CHAPTERS
            assert beat.anonymous or beat.name in NAMES
        leaves = [Leave.model_validate(viewer.leave()) for viewer in gone]
        spoken: list[Heartbeat | Leave] = [*beats, *leaves]
        for words in spoken:
            assert (words.seq or 0) > said.get(str(words.viewer_id), 0)
            said[str(words.viewer_id)] = words.seq or 0


def test_a_crowd_is_worth_looking_at() -> None:
    """Every course and chapter gets somebody; some are unnamed, some hide, and some crash."""
    crowd = Crowd(60, chance=random.Random(7))
    viewers: dict[str, Viewer] = {}
    places: set[tuple[str, int]] = set()
    hidden, left = set(), set()

    for due, gone in _live(crowd, 10):
        viewers |= {viewer.viewer_id: viewer for viewer in due}
        places |= {(viewer.course_id, viewer.chapter) for viewer in due}
        hidden |= {viewer.viewer_id for viewer in due if viewer.hidden}
        left |= {viewer.viewer_id for viewer in gone}

    here = {viewer.viewer_id for viewer in crowd.viewers}
    assert {course for course, _ in places} == set(COURSES)
    assert {chapter for _, chapter in places} == set(range(len(CHAPTERS)))
    assert any(viewer.anonymous for viewer in viewers.values())
    assert hidden
    assert viewers.keys() - left - here, "nobody crashed"


def test_two_crowds_are_different_people() -> None:
    """A session that has left cannot come back (S6): a second run must not use the first one's ids."""
    one, other = Crowd(5), Crowd(5)

    for crowd in (one, other):
        for _ in range(5):
            crowd.arrive(0)

    ids = {viewer.viewer_id for crowd in (one, other) for viewer in crowd.viewers}
    assert len(ids) == 10


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0), (1, 100.0), (0.001, 1.0)]
)
def test_percentile_is_a_value_that_was_seen(share: float, expected: float) -> None:
    """Nearest rank: no figure that no call ever took."""
    values = [float(value) for value in range(100, 0, -1)]

    assert percentile(values, share) == expected
    assert percentile([], share) == 0


def test_summary_names_every_kind_of_error() -> None:
    """What went wrong stands beside what went well, with how often."""
    tally = Tally(heartbeats=[1.0, 2.0, 10.0])
    tally.errors["heartbeat: HTTP 503"] += 2

    lines = [line.replace("│", " ").split() for line in _printed(simulate.summary(tally)).splitlines()]

    assert ["heartbeat", "3", "2.0", "10.0", "10.0", "10.0"] in lines
    assert ["heartbeat:", "HTTP", "503", "2"] in lines


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_no_auth(host: str) -> None:
    """On loopback one may try things out."""
    check_exposure(load(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.test"])
def test_anywhere_else_needs_auth_in_so_many_words(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without PRESENCE_AUTH it is refused; `trusted` is taken at its word, with a warning."""
    with pytest.raises(Misconfigured, match=r"PRESENCE_AUTH=jwt, or PRESENCE_AUTH=trusted"):
        check_exposure(load(host=host))

    check_exposure(load(host=host, auth="trusted"))

    assert f"PRESENCE_AUTH=trusted on {host}" in capsys.readouterr().err


def test_another_server_is_not_trusted_to_listen_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `uvicorn --factory` listens we cannot see, so PRESENCE_AUTH must be set."""
    monkeypatch.delenv("PRESENCE_AUTH", raising=False)
    with pytest.raises(Misconfigured, match=r"PRESENCE_AUTH is not set.*PRESENCE_AUTH=trusted"):
        app_from_env()

    monkeypatch.setenv("PRESENCE_AUTH", "trusted")

    assert callable(app_from_env())


def test_uvicorn_is_told_what_the_settings_say() -> None:
    """Proxies, processes and address reach uvicorn; what leaks or stalls is switched off."""
    settings = load(host="127.0.0.1", port=0, workers=3, trusted_proxies="10.0.0.1")

    config = uvicorn.Config(**server_options(settings))

    assert (config.host, config.port, config.workers) == ("127.0.0.1", 0, 3)
    assert config.forwarded_allow_ips == "10.0.0.1"
    assert not config.server_header
    assert not config.ws_per_message_deflate
    assert config.timeout_graceful_shutdown is not None
    assert config.timeout_graceful_shutdown < 10


@pytest.mark.parametrize(("codes", "status"), [((0, 0), 0), ((0, -9), 0), ((0, 3), 3)])
def test_a_worker_that_cannot_start_is_the_parents_failure(
    codes: tuple[int, ...], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor must not report success for an app that never ran."""
    made = cast(Any, workers.Workers).__new__(workers.Workers)
    made.processes = [SimpleNamespace(exitcode=code) for code in codes]
    monkeypatch.setattr(workers.Workers, "run", lambda self: None)

    assert made.serve() == status


def test_watch_draws_a_bar_for_each_chapter() -> None:
    """In a terminal the fullest chapter has the longest bar, and a number not to be trusted says so."""
    count = Count(
        course_id="c",
        total=3,
        named=2,
        anonymous=1,
        chapters={"ch-2": 1, "ch-1": 2},
        version=1,
        as_of=0,
        warming=True,
    )

    shown = _printed(watch.panel(count))

    bars = [line.count("█") for line in shown.splitlines() if "ch-" in line]
    assert bars == [40, 20]
    assert "warming up" in shown
    assert watch.line(count).endswith("c: 3 (2 named, 1 anonymous; chapters: ch-1 2, ch-2 1) warming")


def test_an_app_that_cannot_be_made_ends_with_the_status_that_stops_the_parent() -> None:
    """Any other status would make the supervisor start the same failure again, many times a second."""
    with pytest.raises(SystemExit) as ended, workers.startup():
        raise RuntimeError("broken")

    assert ended.value.code == uvicorn.config.STARTUP_FAILURE
