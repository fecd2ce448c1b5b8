"""Simulated viewers: a crowd that gathers, keeps its size, and says what the service takes."""

from __future__ import annotations

import random
from collections.abc import Iterator

from presence_svc.commands.crowd import CHAPTERS, COURSES, NAMES, Crowd, Viewer
from presence_svc.model import Heartbeat, Leave

STEP_S = 0.5


def _live(crowd: Crowd, minutes: float) -> Iterator[tuple[list[Viewer], list[Viewer]]]:
    """Lets a crowd live; everybody beats again 27 s after a beat, as the service asks for."""
    for step in range(int(minutes * 60 / STEP_S)):
        due, gone = crowd.step(step * STEP_S, STEP_S)
        for viewer in due:
            viewer.beats_at = step * STEP_S + 27
        yield due, gone


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
