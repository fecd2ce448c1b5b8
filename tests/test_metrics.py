"""The product's own numbers in `/metrics`: totals, no course in a label, the same from any worker."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx2
import pytest

from presence_svc.settings import load
from presence_svc.store.keys import Keys
from tests.cluster_rig import Cluster, cluster
from tests.live.eventually import eventually
from tests.rig import Service, wait_until


def heads(text: str) -> dict[str, float]:
    found = re.findall(r"^presence_(viewers|anonymous_viewers|courses) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_heads_are_counted_once(
    spawn_service: Callable[..., Service], url_of_a_kind: str, workers: str
) -> None:
    """Viewers, the anonymous among them, courses: however many workers, replicas and masters there are."""
    env = {"PRESENCE_REDIS_URL": url_of_a_kind, "PRESENCE_WORKERS": workers}
    service = spawn_service(env)
    beats = [
        {"course_id": f"c{course}", "viewer_id": f"v{n}", "anonymous": n == 0}
        for course in range(150)
        for n in range(3)
    ]
    reply = httpx2.post(f"{service.url}/v1/heartbeats", json={"heartbeats": beats}, timeout=10)
    assert reply.status_code == 200
    other = spawn_service(env)

    async with httpx2.AsyncClient() as http:
        for one in (service, other):

            async def counted(url: str = one.url) -> bool:
                found = heads((await http.get(f"{url}/metrics")).text)
                return found == {"viewers": 450.0, "anonymous_viewers": 150.0, "courses": 150.0}

            await eventually("heads are counted", counted, within_s=30, every_s=0.5)
        text = (await http.get(f"{service.url}/metrics")).text
    assert "c149" not in text
    assert "presence_loop_lag_seconds_bucket" in text


def nodes(text: str, name: str) -> dict[str, float]:
    """A family's values by the node's address."""
    found = re.findall(rf'^presence_redis_node_{name}{{.*node="([^"]+)".*}} (\S+)$', text, re.MULTILINE)
    return {node: float(value) for node, value in found}


def value(text: str, name: str) -> float:
    found = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[0]) if found else 0.0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_master_is_seen(spawn_service: Callable[..., Service], workers: str) -> None:
    """S15: up, exchanges and redirections of every node; a master that dies is down, and it alone."""
    with cluster(replicas=0) as servers:
        env = {
            "PRESENCE_REDIS_URL": servers.url,
            "PRESENCE_WORKERS": workers,
            "PRESENCE_SWEEP_INTERVAL": "0.3",
        }
        service = spawn_service(env)
        addresses = {f"127.0.0.1:{server.port}" for server in servers.servers}

        def scraped() -> str:
            return httpx2.get(f"{service.url}/metrics", timeout=5).text

        def beat() -> None:
            beats = [{"course_id": f"c{n}", "viewer_id": "ada"} for n in range(100)]
            httpx2.post(f"{service.url}/v1/heartbeats", json={"heartbeats": beats}, timeout=5)

        beat()
        wait_until(lambda: nodes(scraped(), "up") == dict.fromkeys(addresses, 1.0))
        before = nodes(scraped(), "exchanges_total")
        wait_until(lambda: _all_more(nodes(scraped(), "exchanges_total"), before))
        assert before.keys() == addresses
        assert "presence_sweep_lag_seconds" in scraped()

        _move(servers, "c1")
        beat()
        wait_until(lambda: value(scraped(), 'presence_redis_redirections_total{kind="moved"}') >= 1)

        gone = servers.servers[0]
        servers.kill(gone)
        beat()
        wait_until(lambda: _down(nodes(scraped(), "up")) == {f"127.0.0.1:{gone.port}"})
        servers.restart(gone)
        wait_until(lambda: _down(nodes(scraped(), "up")) == set())


def _all_more(now: dict[str, float], before: dict[str, float]) -> bool:
    return all(now[node] > before[node] for node in before)


def _down(up: dict[str, float]) -> set[str]:
    return {node for node, is_up in up.items() if not is_up}


def _move(servers: Cluster, course: str) -> None:
    """The slot of a course to another master that stays, key by key."""
    slot = Keys.of(load(redis_url=servers.url)).partition_of(course).slot
    owner = servers.owner(slot)
    target = next(server for server in servers.servers[1:] if server is not owner)
    servers.reshard([slot], target)


@pytest.mark.timeout(120)
def test_lag_is_told(spawn_service: Callable[..., Service], empty_cluster: Cluster) -> None:
    """What is due and left for the next look has waited: more than one look takes is a lag above nothing."""
    service = spawn_service({"PRESENCE_REDIS_URL": empty_cluster.url, "PRESENCE_SWEEP_INTERVAL": "0.3"})
    keys = Keys.of(load(redis_url=empty_cluster.url))
    agenda = keys.partitions[0].agenda
    members = [word for n in range(20_000) for word in (1, f"nobody-{n}")]
    empty_cluster.execute(empty_cluster.owner_of(agenda), "ZADD", agenda, *members)

    wait_until(
        lambda: value(httpx2.get(f"{service.url}/metrics", timeout=5).text, "presence_sweep_lag_seconds") > 1,
        pause_s=0.02,
    )
