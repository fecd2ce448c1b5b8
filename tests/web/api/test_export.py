"""The export as a warehouse pulls it: the statements of docs/history.md, in real warehouses."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from redis import Redis

from tests.conftest import SpawnService
from tests.rig import ROOT, missing

QUARTER = 900_000
PAGE = (ROOT / "docs" / "history.md").read_text()


class Postgres:
    """A server of its own in a directory, on a unix socket only."""

    def __init__(self, programs: str, directory: Path) -> None:
        self._programs, self._directory = programs, directory
        # PostgreSQL refuses to be run by root.
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def start(self) -> None:
        if self._as:
            shutil.chown(self._directory, "postgres")
        data = str(self._directory / "data")
        self._run("initdb", "-D", data, "-A", "trust", "--no-sync")
        options = f"-k {self._directory} -c listen_addresses= -c fsync=off"
        self._run("pg_ctl", "-D", data, "-o", options, "-l", f"{self._directory}/log", "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._directory / "data"), "-m", "immediate", "stop")

    def sql(self, text: str) -> str:
        words = ("-h", str(self._directory), "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-qAt")
        return self._run("psql", *words, text=text)

    def _run(self, program: str, *words: str, text: str = "") -> str:
        done = subprocess.run(
            [*self._as, f"{self._programs}/{program}", *words],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self._directory,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin")) or [
        str(Path(path).parent) for path in [shutil.which("initdb")] if path
    ]
    if not found:
        missing("PostgreSQL (Debian: postgresql)")
    with tempfile.TemporaryDirectory() as directory:
        server = Postgres(found[-1], Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def statements() -> tuple[str, str]:
    """What the page tells to run before the rows and behind them."""
    block = next(text for text in re.findall(r"```sql\n(.*?)```", PAGE, re.S) if "COPY" in text)
    begin, line, end = re.split(r"(COPY [^\n]*\n)", block)
    return begin + line, end


def past(redis: Redis) -> int:
    """Somebody has always been there to hear. The number of the quarter that it is now."""
    now = int(redis.time()[0]) * 1_000 // QUARTER
    redis.hset("presence:heard:0", mapping={"first": (now - 1_000) * QUARTER, "last": (now + 1) * QUARTER})
    return now


def close(redis: Redis, course: str, quarter: int, value: str, *, late: int = 1) -> None:
    """So many quarters after it had begun."""
    redis.hset(f"presence:{{{course}}}:quarters:{quarter // 96}", str(quarter % 96), value)
    redis.append(f"presence:closed:{quarter + late}", f"{course} {quarter} {(late - 1) * QUARTER + 300}\n")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_postgres_copies_what_is_new(postgres: Postgres, spawn_service: SpawnService, redis_url: str) -> None:
    """Pull, pull again from the same cursor, pull what is new: each quarter is there once."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})
    first, last = statements()
    create, fetch = re.split(r"(?=CREATE TEMP)", first)
    postgres.sql(create)
    cursor = ""

    def pull(cursor: str) -> str:
        reply = httpx2.get(f"{service.url}/v1/history/export?format=csv&limit=2&cursor={cursor}", timeout=10)
        postgres.sql(fetch + reply.text + "\\.\r\n" + last)
        return str(reply.headers["presence-cursor"])

    with Redis.from_url(redis_url) as redis:
        now = past(redis)
        close(redis, "c1", now - 9, "5 4500000")
        close(redis, "=cmd", now - 8, "2 900000!")
        close(redis, "c1", now - 8, "7 6300000")
        after = pull(cursor)
        pull(cursor)
        after = pull(after)
        close(redis, "c1", now - 4, "1 60000", late=4)
        after = pull(after)
        pull(after)

    rows = postgres.sql(
        "SELECT course_id, peak, average, viewer_minutes, partial FROM course_quarters ORDER BY t, key;"
    )
    assert rows.splitlines() == ["c1|5|5|75|f", "'=cmd|2|1|15|t", "c1|7|7|105|f", "c1|1|0.067|1|f"]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_clickhouse_reads_the_route(spawn_service: SpawnService, redis_url: str, tmp_path: Path) -> None:
    """Its statements as they stand, but for address and key: read twice, each quarter is there once."""
    pytest.importorskip("chdb", reason="ClickHouse (the extra `warehouse`) is missing")
    key = "a-key-of-the-service-role"
    service = spawn_service(
        {"PRESENCE_REDIS_URL": redis_url, "PRESENCE_AUTH": "jwt", "PRESENCE_JWT_SECRET": "s" * 32}
        | {"PRESENCE_SERVICE_KEYS": key}
    )
    with Redis.from_url(redis_url) as redis:
        now = past(redis)
        close(redis, "c1", now - 9, "5 4500000")
        close(redis, "=cmd", now - 8, "2 900000!")
    block = next(text for text in re.findall(r"```sql\n(.*?)```", PAGE, re.S) if "ReplacingMergeTree" in text)
    create, insert = (
        block.replace("http://presence:8000", service.url).replace("SERVICE_KEY", key).strip(";\n").split(";")
    )
    rows = "SELECT course_id, peak, average, viewer_minutes, partial FROM course_quarters FINAL ORDER BY t"
    script = (
        "import sys; from chdb.session import Session\nsession = Session(sys.argv[1])\n"
        "for statement in sys.argv[2:]: told = session.query(statement, 'CSV')\nprint(told)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "data"), create, insert, insert, rows],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == ['"c1",5,5,75,false', '"\'=cmd",2,1,15,true'], done.stderr
