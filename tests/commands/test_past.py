"""The demo's two weeks: believable, and whole: quarters are their minutes, chapters add up to the course."""

from __future__ import annotations

import random

from presence_svc.commands.past import past
from presence_svc.store.history.series import Value

NOW = 1_790_000_000_000
QUARTER = 900_000


def test_evenings_are_full_and_nights_are_not() -> None:
    """Over all days the evening has several times the viewers of the small hours."""
    made = past("c1", 40, ("ch-1", "ch-2"), NOW, random.Random(3))
    by_hour = [0] * 24
    for quarter, values in made.quarters.items():
        by_hour[quarter // 4 % 24] += values[""].viewer_ms

    assert by_hour[19] > 8 * by_hour[3] > 0
    assert len(made.quarters) > 1_000


def test_two_runs_differ_and_one_seed_does_not() -> None:
    """By the chance that is given."""
    made = [past("c1", 20, ("ch-1",), NOW, random.Random(seed)) for seed in (1, 1, 2)]

    assert made[0] == made[1] != made[2]


def test_quarters_are_their_minutes() -> None:
    """Where there are minutes: the larger peak and the sum, of the course and of its chapters."""
    made = past("c1", 30, ("ch-1", "ch-2", "ch-3"), NOW, random.Random(5))
    first = min(made.minutes) // 15 + 1
    for quarter in range(first, NOW // QUARTER):
        for name, value in made.quarters[quarter].items():
            minutes = [
                made.minutes[m][name]
                for m in range(quarter * 15, quarter * 15 + 15)
                if name in made.minutes.get(m, {})
            ]
            assert value == Value(max(m.peak for m in minutes), sum(m.viewer_ms for m in minutes), False)


def test_a_course_is_at_least_its_chapters() -> None:
    """The chapters' viewer time adds up to the course's, and no chapter has a higher peak."""
    made = past("c1", 30, ("ch-1", "ch-2"), NOW, random.Random(5))
    for values in made.quarters.values():
        chapters = [value for name, value in values.items() if name]
        assert sum(value.viewer_ms for value in chapters) == values[""].viewer_ms
        assert all(value.peak <= values[""].peak for value in chapters)
