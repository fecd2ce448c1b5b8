"""The compose stack, process by process: the same files and commands, with programs instead of containers."""

from __future__ import annotations

import os
import re
import socket
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from presence_svc.settings import ENV_PREFIX, Settings
from presence_svc.store.redis.embedded import bundled_binary
from tests import rig
from tests.deploy.conftest import DEPLOY, find, program
from tests.deploy.test_metrics import queries
from tests.rig import Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
COMPOSE = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


@dataclass(frozen=True)
class Stack:
    """Where the parts of the running stack listen."""

    front: str
    prometheus: str
    replicas: tuple[Service, Service]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Valkey, two replicas, Caddy and Prometheus as compose.yaml describes them."""
    directory = tmp_path_factory.mktemp("compose")
    with ExitStack() as started:
        valkey = rig.free_port()
        _, *options = SERVICES["valkey"]["command"]
        here = ["--port", str(valkey), "--bind", "127.0.0.1", "--dir", str(directory), "--save", ""]
        started.enter_context(program([str(bundled_binary()), *options, *here]))
        rig.wait_until(lambda: _listens(valkey))
        replicas = []
        for name in ("presence-1", "presence-2"):
            env = _variables(SERVICES[name]["environment"])
            env["PRESENCE_REDIS_URL"] = env["PRESENCE_REDIS_URL"].replace(
                "valkey:6379", f"127.0.0.1:{valkey}"
            )
            replicas.append(started.enter_context(Service(env | {"PRESENCE_DRAIN_DELAY": "0"})))
        front = rig.free_port()
        caddy = _variables(SERVICES["caddy"]["environment"])
        caddy["PRESENCE_LISTEN"] = f"http://127.0.0.1:{front}, http://localhost:{front}"
        caddy["PRESENCE_UPSTREAMS"] = _local(caddy["PRESENCE_UPSTREAMS"], replicas)
        caddyfile = DEPLOY / "compose" / SERVICES["caddy"]["volumes"][0].split(":")[0]
        run = [find("caddy"), "run", "--adapter", "caddyfile", "--config", str(caddyfile)]
        started.enter_context(program(run, os.environ | caddy | {"HOME": str(directory)}))
        prometheus = rig.free_port()
        config = (DEPLOY / "compose/prometheus.yml").read_text().replace(": 5s", ": 1s")
        (directory / "prometheus.yml").write_text(_local(config, replicas))
        (directory / "alerts.yml").write_text((DEPLOY / "prometheus/alerts.yml").read_text())
        listen = f"--web.listen-address=127.0.0.1:{prometheus}"
        data = f"--storage.tsdb.path={directory}/tsdb"
        started.enter_context(
            program([find("prometheus"), f"--config.file={directory}/prometheus.yml", listen, data])
        )
        made = Stack(f"http://127.0.0.1:{front}", f"http://127.0.0.1:{prometheus}", tuple(replicas))  # type: ignore[arg-type]
        rig.wait_until(lambda: _answers(f"{made.front}/readyz") and _answers(f"{made.prometheus}/-/ready"))
        yield made


def _local(text: str, replicas: list[Service]) -> str:
    for name, replica in zip(("presence-1:8000", "presence-2:8000"), replicas, strict=True):
        text = text.replace(name, f"127.0.0.1:{replica.port}")
    return text


def _variables(environment: dict[str, str]) -> dict[str, str]:
    """As compose reads them: `${NAME:-default}` with nothing in the environment."""
    return {name: re.sub(r"\$\{\w+:-([^}]*)}", r"\1", value) for name, value in environment.items()}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False


def test_variables_are_settings() -> None:
    """Each PRESENCE_ variable of a replica is one that the service reads."""
    names = {name for part in ("presence-1", "presence-2") for name in SERVICES[part]["environment"]}

    assert {ENV_PREFIX + field.upper() for field in Settings.model_fields} >= names


def test_files_that_are_mounted_exist() -> None:
    """A path that is wrong would be an empty folder in the container."""
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / "compose" / source).exists(), volume


def test_a_heartbeat_through_the_front_is_counted(stack: Stack) -> None:
    """S10: what one replica has heard, the other one tells."""
    beat = {"viewer_id": "ada"}

    for _ in range(4):
        assert httpx2.post(f"{stack.front}/v1/courses/c1/heartbeat", json=beat, timeout=5).status_code == 200

    for replica in stack.replicas:
        assert httpx2.get(f"{replica.url}/v1/courses/c1/count", timeout=5).json()["total"] == 1


def test_prometheus_answers_the_board(stack: Stack) -> None:
    """Both replicas are scraped, and every query of the board has an answer with data in it."""
    rig.wait_until(lambda: _values(stack, "sum(up)") == ["2"])

    def all_have_data() -> bool:
        httpx2.post(f"{stack.front}/v1/courses/c1/heartbeat", json={"viewer_id": "ada"}, timeout=5)
        return all(_values(stack, query) for query in queries())

    rig.wait_until(all_have_data, within_s=60, pause_s=1.0)


def test_prometheus_has_the_rules(stack: Stack) -> None:
    """They are loaded, and none of them fails."""
    groups = httpx2.get(f"{stack.prometheus}/api/v1/rules", timeout=5).json()["data"]["groups"]

    rules = [rule for group in groups for rule in group["rules"]]

    assert len(rules) >= 9
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}


def _values(stack: Stack, query: str) -> list[str]:
    url = f"{stack.prometheus}/api/v1/query?query={urllib.parse.quote(query)}"
    reply = httpx2.get(url, timeout=5).json()
    assert reply["status"] == "success", (query, reply)
    return [found["value"][1] for found in reply["data"]["result"]]


def test_the_board_is_one_that_grafana_reads() -> None:
    """The parts of the provisioning name each other right."""
    source = yaml.safe_load((DEPLOY / "compose/grafana/datasources/prometheus.yaml").read_text())[
        "datasources"
    ][0]
    board = (DEPLOY / "grafana/board.json").read_text()

    assert source["url"] == "http://prometheus:9090"
    assert set(re.findall(r'"uid": "([\w-]+)"', board)) == {source["uid"], "presence-svc"}
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).name == "board.json"
