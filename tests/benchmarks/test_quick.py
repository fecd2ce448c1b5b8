"""Every row runs, short and small, and yields figures. No thresholds: these machines are shared."""

from __future__ import annotations

import math
import os

import pytest

from tests.benchmarks.process import allow_many_files
from tests.benchmarks.row import QUICK, Missing, Row
from tests.benchmarks.rows import ROWS
from tests.rig import ROOT

PEERS = {"centrifuge"}  # what only a comparison needs may be missing in CI too

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(240)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_yields_figures(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark that broke unnoticed would be missed on the day that somebody needs it."""
    monkeypatch.setenv("BEFORE", str(ROOT))  # this checkout beside itself
    allow_many_files()

    try:
        figures = row.run(QUICK)
    except Missing as missing:
        if os.environ.get("CI") and row.name not in PEERS:
            pytest.fail(str(missing))
        pytest.skip(str(missing))

    assert figures
    for figure in figures:
        assert figure.values, figure.what
        assert all(math.isfinite(value) and value >= 0 for value in figure.values), figure
