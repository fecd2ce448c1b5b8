"""Hours and days by the clock on the wall: clock changes, half and quarter hours, the year's end."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_svc.store.history import steps
from presence_svc.store.history.answers import by_weekday
from presence_svc.store.history.columns import columns_of
from presence_svc.store.history.series import Series, Unit
from presence_svc.store.history.steps import Step

HOUR, QUARTER = 3_600_000, 900_000
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Adelaide",
    "Australia/Lord_Howe", "America/St_Johns", "Pacific/Chatham", "America/Sao_Paulo", "Pacific/Apia",
)  # fmt: skip


# Until 2011 Newfoundland's clocks went back at one minute past midnight, into a day that was over. No history
# is that old.
SINCE = datetime(2012, 1, 1)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Asia/Kathmandu", "2026-03-29", 24),
        ("America/Sao_Paulo", "2018-11-04", 23),  # midnight itself is skipped
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
    ],
)
def test_a_day_on_which_clocks_change(zone: str, day: str, hours: float) -> None:
    """It is as long as it is, and its hours are its own."""
    here = ZoneInfo(zone)
    noon = ms(f"{day}T12:00:00+00:00")
    (found,) = list(steps.days(noon, noon + 1, here))
    parts = list(steps.hours(found.begin, found.end, here))

    assert (found.end - found.begin) / HOUR == hours
    assert steps.local(found.begin, here).date().isoformat() == day
    assert [parts[0].begin, parts[-1].end] == [found.begin, found.end]


def test_the_hour_that_comes_twice_is_two() -> None:
    """02:00 of summer time and 02:00 of winter time are different hours."""
    here = ZoneInfo("Europe/Berlin")
    found = list(steps.hours(ms("2026-10-25T00:00:00+00:00"), ms("2026-10-25T02:00:00+00:00"), here))

    assert found == [
        Step(ms("2026-10-25T00:00:00+00:00"), ms("2026-10-25T01:00:00+00:00")),
        Step(ms("2026-10-25T01:00:00+00:00"), ms("2026-10-25T02:00:00+00:00")),
    ]
    assert {steps.local(one.begin, here).hour for one in found} == {2}


def test_nepal_has_its_own_hours_and_new_year() -> None:
    """+05:45: an hour begins at a quarter past of UTC's, the year at 18:15 of the old one."""
    here = ZoneInfo("Asia/Kathmandu")
    eve = ms("2026-12-31T18:00:00+00:00")
    hours = list(steps.hours(eve, eve + HOUR, here))
    days = list(steps.days(eve, eve + HOUR, here))

    assert [one.begin for one in hours] == [eve - 45 * 60_000, eve + QUARTER]
    assert [steps.local(one.begin, here).year for one in days] == [2026, 2027]
    assert days[1].begin == eve + QUARTER


@given(
    zone=st.sampled_from(ZONES),
    begin=st.datetimes(SINCE, datetime(2037, 1, 1)),
    hours=st.integers(1, 24 * 40),
)
def test_steps_leave_nothing_out(zone: str, begin: datetime, hours: int) -> None:
    """Any stretch in any zone: steps follow each other; within one the wall shows one hour, or one date."""
    here = ZoneInfo(zone)
    low = round(begin.replace(tzinfo=UTC).timestamp()) * 1000
    high = low + hours * HOUR
    for kind, of in ((steps.hours, lambda at: (at.date(), at.hour)), (steps.days, lambda at: at.date())):
        found = list(kind(low, high, here))
        assert found[0].begin <= low < high <= found[-1].end
        assert all(one.end == after.begin for one, after in pairwise(found))
        for one in found:
            wall = {of(steps.local(at, here)) for at in range(one.begin, one.end, QUARTER)}
            assert len(wall) == 1
            assert one.begin % QUARTER == 0


def test_a_calendar_across_a_clock_change() -> None:
    """Half past eight on the wall stays in its hour, before and after the change."""
    here = ZoneInfo("Europe/Berlin")
    begin, end = ms("2026-03-23T00:00:00+01:00"), ms("2026-04-06T00:00:00+02:00")
    lesson = {ms("2026-03-24T08:30:00+01:00"), ms("2026-03-31T08:30:00+02:00")}
    first = begin // QUARTER
    units = [
        Unit(5, 5 * QUARTER, QUARTER, False) if at * QUARTER in lesson else Unit(0, 0, QUARTER, False)
        for at in range(first, end // QUARTER)
    ]
    peak, average = by_weekday(Series(QUARTER, first, units), begin, end, here)

    assert [(day, hour) for day in range(7) for hour in range(24) if peak[day][hour]] == [(1, 8)]
    assert average[1][8] == 1.25


def test_a_day_adds_up_over_its_own_length() -> None:
    """The average of a day of 23 hours is over 23 hours."""
    here = ZoneInfo("Europe/Berlin")
    begin = ms("2026-03-29T00:00:00+01:00")
    units = [Unit(2, 2 * QUARTER, QUARTER, False)] * (23 * 4)
    (day,) = steps.days(begin, begin + 1, here)
    (column,) = columns_of(Series(QUARTER, begin // QUARTER, units), [day])

    assert column == (2, 2.0, 2 * 23 * 60, False)
