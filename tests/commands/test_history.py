"""`presence-svc history`: a line and a table, JSON as the HTTP route answers, CSV; and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import subprocess
import time

import pytest

from presence_svc.commands.history import BARS, UNKNOWN, sparkline
from presence_svc.commands.past import past
from presence_svc.settings import load
from presence_svc.store.history.demo_past import Writer
from presence_svc.store.redis.factory import open_link
from tests.forked import run

HOUR = 3_600_000


def ask(redis_url: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PRESENCE_")}
    return run("history", *words, env=clean | {"PRESENCE_REDIS_URL": redis_url, "COLUMNS": "120"} | more)


@pytest.fixture
async def url(redis_url: str) -> str:
    """A Redis in which course c1 has two weeks of history."""
    settings = load(redis_url=redis_url)
    link = open_link(settings)
    now = time.time_ns() // 1_000_000
    made = past("c1", 40, ("ch-1", "ch-2"), now, random.Random(1))
    await Writer(link, settings).write([made], now - 14 * 24 * HOUR, now)
    await link.close()
    return redis_url


def test_a_line_and_a_table(url: str) -> None:
    """A day by hours: 25 rows at most, under a line of as many bars."""
    done = ask(url, "c1")

    assert done.returncode == 0, done.stderr
    assert "c1" in done.stdout
    assert "viewer minutes" in done.stdout
    assert any(24 <= sum(char in BARS for char in line) <= 25 for line in done.stdout.splitlines())


def test_json_and_csv_agree(url: str) -> None:
    """The same steps; JSON has the columns of the HTTP route."""
    words = ("c1", "--step", "1d", "--tz", "Asia/Kolkata", "--chapter", "ch-1")
    told = json.loads(ask(url, *words, "--json").stdout)
    rows = list(csv.DictReader(io.StringIO(ask(url, *words, "--csv").stdout)))

    assert (told["step"], told["tz"], told["chapter_id"]) == ("1d", "Asia/Kolkata", "ch-1")
    assert [int(row["t"]) for row in rows] == told["t"]
    # The day that still runs may have got another minute.
    assert [row["peak"] for row in rows][:-1] == ["" if one is None else str(one) for one in told["peak"]][
        :-1
    ]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("c 1",), "course"),
        (("c1", "--step", "2h"), "--step"),
        (("c1", "--from", "soon"), "--from"),
        (("c1", "--tz", "Nowhere/At_All"), "/tz"),
        (("c1", "--from", "2026-02-01", "--to", "2026-01-01"), "--from"),
    ],
)
def test_what_cannot_be_asked(redis_url: str, words: tuple[str, ...], named: str) -> None:
    """One line that names it, and status 2."""
    done = ask(redis_url, *words)

    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_off_is_said(redis_url: str) -> None:
    """No history is kept: so is there none to show."""
    assert "PRESENCE_HISTORY" in ask(redis_url, "c1", PRESENCE_HISTORY="off").stderr


def test_a_sparkline() -> None:
    """The highest is full, nothing is the lowest bar, and the unknown is a dot."""
    assert sparkline([0.0, 4.0, None, 8.0]) == f"{BARS[0]}{BARS[4]}{UNKNOWN}{BARS[7]}"
    assert sparkline([None, 0.0]) == f"{UNKNOWN}{BARS[0]}"
    assert sparkline([]) == ""
