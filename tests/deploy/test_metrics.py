"""The board and the alert rules speak of metrics that exist: each name is one that `/metrics` has."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import rig
from tests.deploy.conftest import DEPLOY, HERE
from tests.rig import Service

BOARD = json.loads((DEPLOY / "grafana/board.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
NAME = re.compile(r"\b(?:presence|process)_[a-z_]+\b(?!\s*=)")


def queries() -> list[str]:
    """Every query of the board."""
    return [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", ())]


def rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def shown() -> set[str]:
    """The names of all samples that a replica shows."""
    with rig.real_server(rig.VALKEY) as server, Service({"PRESENCE_REDIS_URL": server.url}) as service:
        text = urllib.request.urlopen(f"{service.url}/metrics", timeout=5).read().decode()  # noqa: S310
    samples = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    families = re.findall(r"^# TYPE (\w+) counter$", text, re.MULTILINE)
    return samples | {family.removesuffix("_total") + "_total" for family in families}


@pytest.mark.parametrize("query", [*queries(), *(rule["expr"] for rule in rules())])
def test_names_exist(query: str, shown: set[str]) -> None:
    """A renamed metric must not leave a dead panel, or an alert that never fires."""
    names = set(NAME.findall(query))

    assert names or "up{" in query
    assert names <= shown


def test_prometheus_takes_the_rules() -> None:
    """`promtool check rules`, and each rule says what it means."""
    path = DEPLOY / "prometheus/alerts.yml"

    done = subprocess.run(
        [rig.need("promtool"), "check", "rules", str(path)], capture_output=True, text=True, timeout=30
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in rules())


def test_alerts_fire_for_what_they_are_about(tmp_path: Path) -> None:
    """`promtool test rules`: series that are in trouble raise the alert, and those that are well do not."""
    cases = (HERE / "alerts_test.yml").read_text()
    (tmp_path / "cases.yml").write_text(cases.replace("RULES", str(DEPLOY / "prometheus/alerts.yml"), 1))

    command = [rig.need("promtool"), "test", "rules", str(tmp_path / "cases.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)

    assert done.returncode == 0, done.stdout + done.stderr
