"""What docs/upgrading.md promises others: nothing they may use has gone or changed its name."""

from __future__ import annotations

import os
import sys

import pytest

from tests import rig
from tests.conftest import SpawnService
from tests.rig import ROOT
from tests.upgrade import former
from tests.upgrade.surface import Surface, settings_of, surface

FORMER: Surface = former.load()["surface"]


@pytest.fixture(scope="module")
def present() -> Surface:
    """This version's."""
    with rig.real_server(rig.VALKEY) as server, rig.Service({"PRESENCE_REDIS_URL": server.url}) as service:
        return surface(service, server.url)


@pytest.mark.parametrize("kind", ["query", "body", "reply", "frames", "metrics"])
def test_fields_are_added_and_none_is_taken_away(kind: str, present: Surface) -> None:
    """Routes with their queries, bodies and replies; frames, the message of a change, metrics."""
    assert len(FORMER[kind]) >= 7
    assert FORMER[kind].keys() <= present[kind].keys()
    for name, fields in FORMER[kind].items():
        assert set(fields) <= set(present[kind][name]), name


def test_problems_keep_status_and_type(present: Surface) -> None:
    """Clients tell refusals apart by them."""
    assert FORMER["problems"].keys() == present["problems"].keys()
    for name, (status, kind, *fields) in FORMER["problems"].items():
        now = present["problems"][name]
        assert (status, kind) == (now[0], now[1]), name
        assert set(fields) <= set(now[2:]), name


def test_settings_stay_or_are_refused_by_name(spawn_service: SpawnService) -> None:
    """An old environment means what it meant, or nothing is started and the message says which name."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PRESENCE_")}
    known = set(settings_of([sys.executable], str(ROOT), clean))
    gone = set(FORMER["settings"]["all"]) - known

    assert gone  # else nothing below is tried
    for name in sorted(gone):
        with pytest.raises(RuntimeError, match=name):
            spawn_service({name: "1"})
