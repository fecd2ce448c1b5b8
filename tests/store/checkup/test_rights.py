"""What doctor says of a user's rights: all is well with the least, and each that is missing is named."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from presence_svc.errors import Unavailable
from presence_svc.store.checkup.examine import examine
from presence_svc.store.checkup.readiness import Readiness
from presence_svc.store.checkup.rights import DIRECT, SCRIPTED, acl_line, missing_rights
from presence_svc.store.keys import Keys
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.factory import link_to
from tests import rig
from tests.rig import Service

KEYS = Keys("presence")
USER, PASSWORD = "presence", "s3cret"


@pytest.fixture(params=rig.REAL_BACKENDS)
def guarded(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    """A server of its own with one user more, who may do the least that serving takes."""
    with rig.real_server(request.param) as server:
        _admin(server, *acl_line("presence", USER).replace("PASSWORD", PASSWORD).split())
        yield server


def _admin(server: EmbeddedServer, *command: str) -> None:
    with Redis.from_url(server.url) as admin:
        admin.execute_command(*command)


def _url(server: EmbeddedServer) -> str:
    return server.url.replace("unix://", f"unix://{USER}:{PASSWORD}@")


@pytest.fixture
async def as_user(guarded: EmbeddedServer) -> AsyncIterator[AsyncRedis]:
    async with AsyncRedis.from_url(_url(guarded)) as client:
        yield client


def test_the_check_tries_all_that_scripts_do() -> None:
    """A command that a script uses and check.lua does not would be missed in production, not at start."""
    used: set[str] = set()
    for path in (rig.ROOT / "presence_svc/store/lua").rglob("*.lua"):
        used |= {name.lower() for name in re.findall(r"call\('([A-Z]+)'", path.read_text())}

    assert used <= SCRIPTED | {"incr"}


async def test_the_least_is_enough(guarded: EmbeddedServer, as_user: AsyncRedis) -> None:
    """The line that doctor prints: nothing is missing, and what this user may not ask for is not wrong."""
    found = await examine(as_user, KEYS, user=USER)

    assert [finding for finding in found if not finding.fine] == []
    with Service({"PRESENCE_REDIS_URL": _url(guarded)}) as service:
        assert service.get_status("/readyz") == 200
        for path in ("count", "viewers"):
            assert service.get_status(f"/v1/courses/c1/{path}") == 200
        assert service.get_status("/v1/stats") == 200
        assert "redis" not in service.logs().replace("PRESENCE_REDIS_URL", "").lower()


@pytest.mark.parametrize(
    ("denied", "rule"),
    [
        *(
            (f"-{name}", f"+{name}")
            for name in ["hset", "publish", "zcount", "subscribe", "eval", "evalsha", "getex", "ping"]
        ),
        ("resetchannels", "&presence:*"),
        ("resetkeys", "~presence:*"),
    ],
)
async def test_what_is_missing_is_named(
    guarded: EmbeddedServer, as_user: AsyncRedis, denied: str, rule: str
) -> None:
    """With the rule to set; and who may not record is not ready."""
    _admin(guarded, "ACL", "SETUSER", USER, denied)

    said = await missing_rights(as_user, KEYS, USER)

    assert f"set ACL SETUSER {USER} {rule}" in said
    assert acl_line("presence", USER) in said


@pytest.mark.parametrize("denied", ["-hset", "-publish", "-evalsha", "resetchannels", "resetkeys"])
async def test_who_may_not_record_is_not_ready(guarded: EmbeddedServer, denied: str) -> None:
    """Readiness includes one real script call, with all that scripts do."""
    link = link_to(_url(guarded), timeout_s=5)
    readiness = Readiness(link, KEYS)
    await readiness.check()
    _admin(guarded, "ACL", "SETUSER", USER, denied)
    again = Readiness(link, KEYS)

    with pytest.raises(Unavailable, match="refuses"):
        await again.check()

    assert not link.away
    await link.close()


def test_every_direct_command_is_listed() -> None:
    """What the service sends outside scripts is in the line too."""
    assert set(acl_line("presence").replace("+", "").split()) >= DIRECT


def test_the_page_shows_the_line() -> None:
    """Operators copy it from docs/redis.md."""
    assert acl_line("presence") in (rig.ROOT / "docs" / "redis.md").read_text().splitlines()
