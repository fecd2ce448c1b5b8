"""nginx, HAProxy and Caddy with the kit's files: heartbeats, streams and sockets come through each."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests import rig
from tests.deploy.conftest import DEPLOY, find, program
from tests.live.eventually import eventually
from tests.live.sse import Events
from tests.rig import Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]
Pair = tuple[Service, Service]
NGINX = """
daemon off; pid {directory}/nginx.pid; error_log stderr;
events {{}}
http {{ access_log off; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
include {directory}/presence.conf; }}
"""


def _moved(name: str, pair: Pair, port: int) -> str:
    """The kit's file with its three ports moved to those of this test."""
    text = (DEPLOY / "proxies" / name).read_text()
    moves = {"8000": port, "8001": pair[0].port, "8002": pair[1].port}
    return re.sub(r"(?<=[: ])800[012]\b", lambda found: str(moves[found[0]]), text)


@contextmanager
def nginx(pair: Pair, directory: Path) -> Iterator[int]:
    port = rig.free_port()
    (directory / "presence.conf").write_text(_moved("nginx.conf", pair, port))
    (directory / "nginx.conf").write_text(NGINX.format(directory=directory))
    with program([find("nginx"), "-c", str(directory / "nginx.conf"), "-p", str(directory)]):
        yield port


@contextmanager
def haproxy(pair: Pair, directory: Path) -> Iterator[int]:
    port = rig.free_port()
    (directory / "haproxy.cfg").write_text(_moved("haproxy.cfg", pair, port))
    with program([find("haproxy"), "-db", "-f", str(directory / "haproxy.cfg")]):
        yield port


@contextmanager
def caddy(pair: Pair, directory: Path) -> Iterator[int]:
    port = rig.free_port()
    upstreams = " ".join(f"127.0.0.1:{service.port}" for service in pair)
    own = {
        "PRESENCE_LISTEN": f"http://127.0.0.1:{port}, http://localhost:{port}",
        "PRESENCE_UPSTREAMS": upstreams,
        "HOME": str(directory),
    }
    config = str(DEPLOY / "proxies" / "Caddyfile")
    with program([find("caddy"), "run", "--adapter", "caddyfile", "--config", config], os.environ | own):
        yield port


PROXIES = {"nginx": nginx, "haproxy": haproxy, "caddy": caddy}


@pytest.fixture(params=PROXIES)
def front(request: pytest.FixtureRequest, pair: Pair, tmp_path: Path) -> Iterator[str]:
    """A proxy's URL, once it reaches a replica."""
    with PROXIES[request.param](pair, tmp_path) as port:
        url = f"http://127.0.0.1:{port}"
        _wait(url)
        yield url


def _wait(url: str) -> None:
    def answers() -> bool:
        try:
            return httpx2.get(f"{url}/readyz", timeout=2).status_code == 200
        except httpx2.HTTPError:
            return False

    rig.wait_until(answers)


async def test_everything_comes_through(front: str, request: pytest.FixtureRequest) -> None:
    """A heartbeat at one replica is a frame on a stream at any, and a socket is counted and told."""
    course = re.sub(r"\W", "-", request.node.name)
    async with httpx2.AsyncClient(base_url=front, timeout=5) as http:
        async with Events(front, f"/v1/courses/{course}/live") as events:
            assert (await events.next())[1]["total"] == 0
            for viewer in ("ada", "ben"):
                beat = await http.post(f"/v1/courses/{course}/heartbeat", json={"viewer_id": viewer})
                assert beat.status_code == 200

            while (await events.next())[1].get("total") != 2:
                pass
        async with connect(f"ws{front.removeprefix('http')}/v1/courses/{course}/ws") as socket:
            await socket.send('{"type": "join", "viewer_id": "cyd"}')
            assert '"joined"' in str(await socket.recv())
            await eventually("a socket is counted", lambda: _total(http, course, 3))


async def _total(http: httpx2.AsyncClient, course: str, total: int) -> bool:
    return bool((await http.get(f"/v1/courses/{course}/count")).json()["total"] == total)


@pytest.mark.parametrize("proxy", PROXIES)
async def test_a_killed_replica_costs_nobody_a_heartbeat(proxy: str, tmp_path: Path) -> None:
    """S10: kill -9 of one of two: heartbeats go on at the other one. Caddy sends none twice: see its file."""
    with rig.real_server(rig.VALKEY) as server:
        env = {"PRESENCE_REDIS_URL": server.url, "PRESENCE_AUTH": "trusted"}
        with Service(env) as one, Service(env) as other, PROXIES[proxy]((one, other), tmp_path) as port:
            url = f"http://127.0.0.1:{port}"
            _wait(url)
            os.killpg(one.pid, signal.SIGKILL)

            async with httpx2.AsyncClient(base_url=url, timeout=10) as http:
                statuses = [
                    (await http.post("/v1/courses/c1/heartbeat", json={"viewer_id": f"v{n}"})).status_code
                    for n in range(40)
                ]

    assert statuses.count(200) >= (38 if proxy == "caddy" else 40)
    assert statuses[-20:] == [200] * 20
