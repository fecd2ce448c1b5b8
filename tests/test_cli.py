"""The command line as a user meets it: processes, signals, exit statuses and what they print."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from redis import Redis

from presence_svc import __version__
from presence_svc.model import Count
from presence_svc.store.redis.embedded import EmbeddedServer
from tests.conftest import SpawnService
from tests.forked import run
from tests.rig import ROOT, Service

pytestmark = pytest.mark.timeout(90)  # processes of our own, perhaps on a busy machine
VERBS = ("serve", "demo", "watch", "simulate", "sweep", "doctor")
COURSE = "python-101"
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def _run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself; only these settings. test_terminal.py starts them anew."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PRESENCE_")}
    return run(*args, env=clean | {"COLUMNS": "120"} | env)


@contextmanager
def _running(*args: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on until the test is over."""
    with subprocess.Popen(
        [sys.executable, "-m", "presence_svc", *args],
        cwd=ROOT,
        env=os.environ | env,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return holds()


def _heartbeat(service: Service, viewer: str, **more: Any) -> dict[str, Any]:
    body = {"viewer_id": viewer, "chapter_id": "ch-1", **more}
    reply = httpx2.post(f"{service.url}/v1/courses/{COURSE}/heartbeat", json=body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def _get(service: Service, path: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(f"{service.url}{path}").json()
    return found


def _beats(service: Service) -> float:
    """Heartbeats answered with 200, by the metrics that any worker shows."""
    text = httpx2.get(f"{service.url}/metrics").text
    line = r'^presence_requests_total\{route="heartbeat\w*",status="200"\} (\S+)$'
    return sum(map(float, re.findall(line, text, re.M | re.I)))


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def _workers(pid: int) -> list[int]:
    """The parent's children that serve: not the embedded server's keeper, not a resource tracker."""
    found = []
    for child in _children(pid):
        with suppress(FileNotFoundError):  # gone since it was listed
            if b"multiprocessing.spawn" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    """`--help` is there to be read at once: neither the server nor Redis is imported for it."""
    shown = _run("--help").stdout
    code = "import presence_svc.cli, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    assert all(verb in shown for verb in VERBS)
    assert not {"uvicorn", "redis", "starlette", "pydantic", "rich.console"} & set(loaded)


def test_version() -> None:
    """`--version` says which release this is."""
    assert _run("--version").stdout.strip() == f"presence-svc {__version__}"


def test_serve_without_redis_says_so_and_ends_clean(spawn_service: SpawnService) -> None:
    """One line says that the state is this process's alone; SIGTERM ends service and server."""
    service = spawn_service()
    _heartbeat(service, "ada")
    (keeper,) = _children(service.pid)

    assert service.terminate() == 0

    assert service.logs().count("an embedded server holds the state, for this process alone") == 1
    assert f"listens on {service.url}" in service.logs()
    assert not Path(f"/proc/{keeper}").exists()


def test_serve_on_a_redis_of_ones_own(spawn_service: SpawnService, redis_url: str) -> None:
    """With PRESENCE_REDIS_URL no server is started, and two services share what they know (S10)."""
    one, other = (spawn_service({"PRESENCE_REDIS_URL": redis_url}) for _ in range(2))

    _heartbeat(one, "ada")

    assert _get(other, f"/v1/courses/{COURSE}/count")["total"] == 1
    assert "embedded" not in one.logs()
    assert _children(one.pid) == []


def test_serve_keeps_its_data_when_told_where(spawn_service: SpawnService, tmp_path: Path) -> None:
    """`--data` survives the end of the service: the viewer is still there after the next start."""
    service = spawn_service(command=["serve", "--data", str(tmp_path / "data")])
    _heartbeat(service, "ada")
    service.terminate()

    service.start()

    assert _get(service, f"/v1/courses/{COURSE}/count")["total"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_workers_share_port_server_and_metrics(spawn_service: SpawnService, number: signal.Signals) -> None:
    """Two workers are one service: same counts from each, metrics added up, one end for all."""
    service = spawn_service({"PRESENCE_WORKERS": "2"})
    workers = _workers(service.pid)
    assert len(workers) == 2

    for viewer in range(20):
        _heartbeat(service, f"viewer-{viewer}")

    assert {_get(service, f"/v1/courses/{COURSE}/count")["total"] for _ in range(10)} == {20}
    assert _within(5, lambda: _beats(service) == 20)
    assert service.terminate(number) == 0
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_drains_before_the_embedded_server_ends(spawn_service: SpawnService, workers: str) -> None:
    """Ctrl-C reaches the whole group at once: streams still get their goodbye, Redis is there to the end."""
    service = spawn_service({"PRESENCE_WORKERS": workers})
    with httpx2.stream("GET", f"{service.url}/v1/courses/{COURSE}/live", timeout=10) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: count"

        os.killpg(service.pid, signal.SIGINT)

        assert "event: bye" in list(lines)
    assert service.terminate() == 0
    assert "redis is away" not in service.logs()
    assert "Traceback" not in service.logs()


@pytest.mark.parametrize("pause_s", [0.0, 0.1, 0.3, 0.6])
def test_ctrl_c_while_workers_start_is_a_clean_end(tmp_path: Path, pause_s: float) -> None:
    """Ctrl-C once the address is printed, also while workers import: no traceback, nobody is left."""
    log = tmp_path / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "presence_svc", "serve"],
            cwd=ROOT,
            env=os.environ | {"PRESENCE_WORKERS": "2", "PRESENCE_PORT": "0"},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        assert _within(30, lambda: "listens on" in log.read_text())
        time.sleep(pause_s)
        workers = _workers(process.pid)

        os.killpg(process.pid, signal.SIGINT)

        assert process.wait(30) == 0
    finally:
        process.kill()
    assert "Traceback" not in log.read_text()
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_a_killed_worker_is_replaced(spawn_service: SpawnService) -> None:
    """kill -9 of one of two workers: the service goes on, and soon there are two again (S10)."""
    service = spawn_service({"PRESENCE_WORKERS": "2"})
    _heartbeat(service, "ada")
    victim, survivor = _workers(service.pid)

    os.kill(victim, signal.SIGKILL)

    assert _within(15, lambda: len(_workers(service.pid)) == 2 and victim not in _workers(service.pid))
    assert survivor in _workers(service.pid)
    assert _within(10, lambda: service.get_status("/readyz") == 200)
    assert _within(10, lambda: _get(service, f"/v1/courses/{COURSE}/count").get("total") == 1)


def test_a_worker_that_dies_while_it_starts_is_replaced_at_once(spawn_service: SpawnService) -> None:
    """The supervisor waits long for a slow start, and not at all for a worker that is dead."""
    service = spawn_service({"PRESENCE_WORKERS": "2"})
    first = set(_workers(service.pid))
    os.kill(min(first), signal.SIGKILL)
    assert _within(15, lambda: bool(set(_workers(service.pid)) - first))
    (starting,) = set(_workers(service.pid)) - first
    time.sleep(0.6)  # by now the supervisor asks it for a sign of life

    os.kill(starting, signal.SIGKILL)

    assert _within(10, lambda: len(_workers(service.pid)) == 2 and starting not in _workers(service.pid))


def test_workers_end_with_a_parent_that_was_killed(spawn_service: SpawnService) -> None:
    """kill -9 of the parent leaves no orphan that holds the port without a Redis behind it."""
    service = spawn_service({"PRESENCE_WORKERS": "2"})
    left = _children(service.pid)
    environment = Path(f"/proc/{_workers(service.pid)[0]}/environ").read_bytes().split(b"\0")
    (metrics,) = [
        line.split(b"=")[1] for line in environment if line.startswith(b"PROMETHEUS_MULTIPROC_DIR=")
    ]
    assert Path(os.fsdecode(metrics)).is_dir()

    os.kill(service.pid, signal.SIGKILL)

    assert service.process is not None
    service.process.wait(5)
    assert _within(10, lambda: not any(Path(f"/proc/{child}").exists() for child in left))
    assert service.get_status("/livez") == 0
    assert not Path(os.fsdecode(metrics)).exists()


def test_serve_refuses_the_world_without_auth() -> None:
    """A public address needs PRESENCE_AUTH in so many words; the message names it."""
    refused = _run("serve", PRESENCE_HOST="0.0.0.0")

    assert refused.returncode == 2
    assert "PRESENCE_AUTH is not set" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_serve_says_which_setting_is_wrong() -> None:
    """Settings are checked at start, all at once, by the name that one would change."""
    refused = _run("serve", PRESENCE_TTL="soon", PRESENCE_PORT="70000")

    assert refused.returncode == 2
    assert "PRESENCE_TTL" in refused.stderr
    assert "PRESENCE_PORT" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "redis://:hunter2/pw@127.0.0.1:1"),
        ("REDIS_URL", "redis://127.0.0.1:1?hunter2=1"),
        ("JWT_PUBLIC_KEY", "hunter2"),
    ],
)
@pytest.mark.parametrize("verb", ["serve", "doctor"])
def test_what_is_wrong_is_said_before_anything_else(verb: str, name: str, value: str) -> None:
    """Never `listens on` and then a trace, nor `valid`; and nothing of a value that may be a secret."""
    tokens = {"PRESENCE_AUTH": "jwt", "PRESENCE_JWT_ISSUER": "i", "PRESENCE_JWT_AUDIENCE": "a"}
    env = {f"PRESENCE_{name}": value} | (tokens if name.startswith("JWT") else {})

    refused = _run(verb, PRESENCE_PORT="0", **env)

    said = refused.stdout + refused.stderr
    assert refused.returncode == {"serve": 2, "doctor": 1}[verb]
    assert f"PRESENCE_{name}: " in said
    for unwanted in ("hunter2", "Traceback", "listens on"):
        assert unwanted not in said


def test_serve_says_when_the_port_is_taken(spawn_service: SpawnService) -> None:
    """The usual mistake, starting it twice, gets one line and not a stack trace."""
    service = spawn_service()

    refused = _run("serve", "--port", str(service.port))

    assert refused.returncode == 2
    assert "Address already in use" in refused.stderr
    assert "PRESENCE_PORT" in refused.stderr


def test_serve_says_when_the_host_is_unknown() -> None:
    """In words, not by a number that no system knows."""
    refused = _run("serve", PRESENCE_AUTH="trusted", PRESENCE_HOST="[::1]x", PRESENCE_PORT="0")

    assert refused.returncode == 2
    assert re.search(r"cannot listen on ::1\]x:0 \([A-Za-z ,]+\): set PRESENCE_HOST", refused.stderr)
    assert "Unknown error" not in refused.stderr


def test_demo_fills_its_courses_and_leaves_other_redis_alone(
    spawn_service: SpawnService, redis_url: str
) -> None:
    """Within seconds simulated viewers sit in chapters of several courses, some of them unnamed.

    Also where the environment is set up for tokens, as the README has it, and for a Redis.
    """
    tokens = {"PRESENCE_AUTH": "jwt", "PRESENCE_JWT_SECRET": "s" * 32, "presence_public_counts": "true"}
    demo = spawn_service({"PRESENCE_REDIS_URL": redis_url, **tokens}, command=["demo", "--viewers", "200"])

    def lively() -> bool:
        stats, count = _get(demo, "/v1/stats"), _get(demo, f"/v1/courses/{COURSE}/count")
        return bool(stats["total"] >= 40 and stats["courses"] == 4 and count["anonymous"] > 0)

    assert _within(40, lively)
    count = _get(demo, f"/v1/courses/{COURSE}/count")
    roster = _get(demo, f"/v1/courses/{COURSE}/viewers?limit=100")
    assert sum(count["chapters"].values()) == count["total"]
    assert len(count["chapters"]) > 2
    assert all(viewer["name"] for viewer in roster["viewers"])
    assert all(f"{demo.url}/{page}" in demo.logs() for page in ("demo", "dashboard", "docs"))
    with Redis.from_url(redis_url) as redis:
        assert redis.dbsize() == 0
    assert demo.terminate(signal.SIGINT) == 0


def test_simulate_reports_latency_and_leaves_nobody(spawn_service: SpawnService, redis_url: str) -> None:
    """Every simulated viewer beats, is answered and has left at the end; status 0."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})

    done = _run("simulate", "--url", service.url, "-n", "20", "--seconds", "2", "--interval", "0.3")

    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"heartbeat\s*│\s*(\d+)", done.stdout)[0]) >= 60
    assert int(re.findall(r"leave\s*│\s*(\d+)", done.stdout)[0]) == 20
    assert "p99" in done.stdout
    assert _get(service, "/v1/stats")["total"] == 0


def test_simulate_against_nobody_is_a_failure(free_port: int) -> None:
    """One sentence, and the status is 1."""
    url = f"http://127.0.0.1:{free_port}"

    done = _run("simulate", "--url", url, "-n", "2", "--seconds", "0.5")

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"no answer from {url}" in done.stderr


def test_watch_prints_a_line_for_each_change(spawn_service: SpawnService, redis_url: str) -> None:
    """In a pipe `watch` writes lines: what is true now, then each change."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})

    with _running("watch", COURSE, PRESENCE_REDIS_URL=redis_url) as process:
        assert process.stdout is not None
        assert f"{COURSE}: 0 (0 named" in process.stdout.readline()
        _heartbeat(service, "ada")
        assert "1 (1 named, 0 anonymous; chapters: ch-1 1)" in process.stdout.readline()


def test_watch_as_json_is_for_other_programs(spawn_service: SpawnService, redis_url: str) -> None:
    """`--json` prints one Count per line; Ctrl-C ends it without a stack trace."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})
    _heartbeat(service, "ada")

    with _running("watch", "--json", COURSE, PRESENCE_REDIS_URL=redis_url) as process:
        assert process.stdout is not None
        count = Count.model_validate(orjson.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130

    assert (count.course_id, count.total) == (COURSE, 1)


@pytest.mark.parametrize(("command", "status"), [(["watch", COURSE], 1), (["sweep"], 2)])
def test_without_a_redis_to_look_at_the_message_names_the_setting(
    command: list[str], status: int, free_port: int
) -> None:
    """An embedded server belongs to its service: another command sees nothing where none runs."""
    refused = _run(*command, PRESENCE_PORT=str(free_port))

    assert refused.returncode == status
    assert "PRESENCE_REDIS_URL" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_watch_needs_no_redis_where_a_service_runs(spawn_service: SpawnService) -> None:
    """`serve` on its embedded server in one terminal, `watch` in another, which survives a restart."""
    service = spawn_service()

    with _running("watch", COURSE, PRESENCE_PORT=str(service.port)) as process:
        assert process.stdout is not None
        assert f"{COURSE}: 0 (0 named" in process.stdout.readline()
        _heartbeat(service, "ada")
        assert "1 (1 named, 0 anonymous; chapters: ch-1 1)" in process.stdout.readline()
        service.terminate()
        service.start()
        assert f"{COURSE}: 0 (0 named" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_watch_goes_where_the_url_says(spawn_service: SpawnService, redis_url: str, free_port: int) -> None:
    """`--url` counts for more than a Redis; what the service refuses is one sentence, a key opens it."""
    key = "a-service-key-0123456789"
    secret = {"PRESENCE_AUTH": "jwt", "PRESENCE_JWT_SECRET": "0123456789abcdef0123456789abcdef"}
    service = spawn_service(secret | {"PRESENCE_REDIS_URL": redis_url, "PRESENCE_SERVICE_KEYS": key})

    nobody = _run("watch", COURSE, "--url", f"http://127.0.0.1:{free_port}", PRESENCE_REDIS_URL=redis_url)
    refused = _run("watch", COURSE, "--url", service.url)

    assert (nobody.returncode, refused.returncode) == (1, 1)
    assert f"no answer from http://127.0.0.1:{free_port}" in nobody.stderr
    assert refused.stderr.strip() == f"{service.url}: a bearer token is needed"
    with _running("watch", COURSE, "--url", service.url, PRESENCE_API_KEY=key) as process:
        assert process.stdout is not None
        assert f"{COURSE}: 0 (0 named" in process.stdout.readline()


def test_watch_refuses_what_cannot_be_a_course(redis_url: str) -> None:
    """An id that could break out of a key is refused in one line."""
    refused = _run("watch", "a}b", PRESENCE_REDIS_URL=redis_url)

    assert refused.returncode == 2
    assert "'a}b' is not a course id" in refused.stderr


def test_sweep_removes_and_publishes_without_a_service(spawn_service: SpawnService, redis_url: str) -> None:
    """One pass does what the dead service did not: the expired go, and the change is published (S9)."""
    env = {
        "PRESENCE_REDIS_URL": redis_url,
        "PRESENCE_TTL": "1",
        "PRESENCE_HEARTBEAT_INTERVAL": "0.5",
        "PRESENCE_HIDDEN_TTL": "60",  # how long the sets outlive their leases goes by it
        "PRESENCE_LEAVE_GRACE": "0.5",
    }
    service = spawn_service(env)
    _heartbeat(service, "ada")
    _heartbeat(service, "bob")
    service.kill()
    with Redis.from_url(redis_url) as redis, redis.pubsub() as changes:
        changes.subscribe(f"presence:{{{COURSE}}}:changes")
        time.sleep(1.1)
        assert redis.zcard(f"presence:{{{COURSE}}}:viewers") == 2

        done = _run("sweep", **env)

        assert (done.returncode, done.stdout) == (0, "1 courses checked, 2 viewers removed\n")
        assert redis.zcard(f"presence:{{{COURSE}}}:viewers") == 0
        said = [changes.get_message(timeout=2) for _ in range(2)][-1]
        assert said is not None
        assert orjson.loads(said["data"])["total"] == 0


def test_doctor_is_content_with_a_healthy_service(spawn_service: SpawnService, redis_url: str) -> None:
    """Everything it looks at is named, and the status is 0."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})
    _heartbeat(service, "ada")

    done = _run("doctor", PRESENCE_REDIS_URL=redis_url)

    assert done.returncode == 0, done.stdout + done.stderr
    for what in ("settings", "reachable", "version", "eviction", "clock", "consistency"):
        assert re.search(rf"^ok +{what}: ", done.stdout, re.M), what
    assert "1 viewers" in done.stdout


def test_doctor_finds_a_redis_that_may_drop_keys(own_server: EmbeddedServer) -> None:
    """An eviction policy other than noeviction is trouble before memory is short; status 1."""
    with Redis.from_url(own_server.url) as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")

    done = _run("doctor", PRESENCE_REDIS_URL=own_server.url)

    assert done.returncode == 1
    assert re.search("^wrong eviction: maxmemory-policy is allkeys-lru", done.stdout, re.M)


def test_doctor_without_redis(free_port: int) -> None:
    """A Redis that does not answer, and a setting that is wrong, are findings and not crashes."""
    away = _run("doctor", PRESENCE_REDIS_URL=f"redis://127.0.0.1:{free_port}")
    wrong = _run("doctor", PRESENCE_SWEEP_INTERVAL="-1")
    embedded = _run("doctor")

    assert (away.returncode, wrong.returncode, embedded.returncode) == (1, 1, 0)
    assert "wrong reachable" in away.stdout
    assert "wrong settings: PRESENCE_SWEEP_INTERVAL" in wrong.stdout
    assert "valkey-server" in embedded.stdout
    assert "Traceback" not in away.stderr + wrong.stderr


def test_doctor_as_json(free_port: int) -> None:
    """One object for programs: whether all is well, and each finding; the status is the same."""
    env = {"PRESENCE_AUTH": "jwt", "PRESENCE_JWT_SECRET": "a secret of the tests that is long enough"}
    well = _run("doctor", "--json")
    away = _run("doctor", "--json", PRESENCE_REDIS_URL=f"redis://127.0.0.1:{free_port}")
    token = _run("doctor", "--json", "--token", "x.y.z", **env)

    told = [orjson.loads(done.stdout) for done in (well, away, token)]
    assert [done.returncode for done in (well, away, token)] == [0, 1, 1]
    assert [one["well"] for one in told] == [True, False, False]
    assert [{finding["what"] for finding in one["findings"] if not finding["fine"]} for one in told] == [
        set(),
        {"reachable"},
        {"token"},
    ]
    assert all(set(finding) == {"fine", "what", "detail", "warns"} for finding in told[0]["findings"])


def test_a_token_goes_from_one_command_to_the_other() -> None:
    """Made, believed, refused once it is cut; what would be refused is not made, in one line (status 2)."""
    env = {"PRESENCE_AUTH": "jwt", "PRESENCE_JWT_SECRET": "a secret of the tests that is long enough"}

    made = _run("token", "ada", "--name", "Ada", **env)
    good = _run("doctor", "--token", made.stdout, **env)
    cut = _run("doctor", "--token", made.stdout.strip()[:-4], **env)
    refused = _run("token", "ada", "--course", "c1", **env)

    assert (made.returncode, good.returncode, cut.returncode, refused.returncode) == (0, 0, 1, 2)
    assert "ok    token: viewer ada, name 'Ada'" in good.stdout
    assert "wrong token: the token's signature is invalid" in cut.stdout
    assert refused.stderr.splitlines() == [
        "PRESENCE_JWT_COURSES_CLAIM is not set: any token opens every course"
    ]
