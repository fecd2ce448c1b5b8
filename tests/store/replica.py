"""The store side of one replica, in the short words that tests speak; and time that passes on demand.

Used by tests/contract, tests/store, tests/live and tests/faults. Redis's clock cannot be turned, so
`pass_time` makes all that is stored older instead: leases, messages due, marks and expiries alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count as count_up
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from presence_svc.model import Count, Heartbeat, Leave, Roster
from presence_svc.settings import Settings, load
from presence_svc.store.agenda import Agenda
from presence_svc.store.census import Census
from presence_svc.store.keys import Keys
from presence_svc.store.people.counter import PeopleCounter
from presence_svc.store.presence import Presence
from presence_svc.store.redis.factory import open_link
from presence_svc.store.redis.link import Link, ServerLink
from presence_svc.store.redis.subscription import Subscription
from presence_svc.store.roster.reader import Rosters
from presence_svc.store.shared import Shared
from presence_svc.store.stats import Totals
from presence_svc.store.write import HeartbeatResult, HeartbeatWrite, LeaveWrite
from tests.described import check_change
from tests.store.cluster_client import ClusterClient
from tests.store.node import node_of

GENEROUS_S = 10.0
HEARD = [f"c{n}" for n in range(60)] + ["a", "b"]
LOOKS = 50
# Settings of a replica that lets anonymous sessions become somebody's.
SIGNING_IN = {
    "auth": "jwt",
    "jwt_secret": "a secret of the tests that is long enough",
    "allow_anonymous": True,
}
OLDER = """
local by = tonumber(ARGV[1])
local function older(value) return string.format('%.0f', tonumber(value) - by) end
local function age_hash(key)
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    local field, value = flat[i], flat[i + 1]
    if string.sub(field, 1, 2) == 's:' then
      local lease, rest = string.match(value, '^(%d+)( .*)$')
      redis.call('HSET', key, field, older(lease) .. rest)
    elseif field == '!' or field == 'joined_at' or field == 'published' or field == 'dirty' then
      redis.call('HSET', key, field, older(value))
    end
  end
end
for _, key in ipairs(redis.call('KEYS', ARGV[2] .. ':*')) do
  local kind = redis.call('TYPE', key)['ok']
  if kind == 'zset' then
    local flat = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 1, #flat, 2 do redis.call('ZADD', key, older(flat[i + 1]), flat[i]) end
  elseif kind == 'hash' then
    age_hash(key)
  elseif string.match(key, ':since$') then
    redis.call('SET', key, older(redis.call('GET', key)), 'KEEPTTL')
  end
  local ends = redis.call('PEXPIRETIME', key)
  if ends > 0 then redis.call('PEXPIREAT', key, older(ends)) end
end
"""


class Replica:
    """One process's way into the store. Several on one Redis are several replicas.

    Without history and people, unless asked for: tests of presence look at all keys that there are.
    """

    def __init__(self, redis: Redis | ClusterClient, **settings: Any) -> None:
        self.redis: Any = redis  # the raw keys are looked at in every way; redis-py types replies too widely
        self.passed = 0  # ms that this replica was told to let pass
        made = {"history": False, "people": False} | settings
        self.link: Link
        if isinstance(redis, ClusterClient):
            made["redis_url"] = redis.url
            self.link = open_link(load(**made), timeout_s=GENEROUS_S)
            redis.links.append(self.link)
        else:
            self.node = node_of(redis, timeout_s=GENEROUS_S)
            self.link = ServerLink(self.node)
        self.use(load(**made))

    def use(self, settings: Settings) -> None:
        """Builds all parts, with these settings."""
        self.settings = settings
        self.keys = Keys.of(settings)
        self.presence = Presence(self.link, self.settings)
        self.shared = Shared(self.link, self.settings)
        sealing = Shared(self.link, self.settings)
        sealing.secret = b"s" * 32  # at hand without a pulse: a read must write nothing
        self.rosters = Rosters(self.link, self.settings, sealing)
        self.agenda = Agenda(self.link, self.settings)
        self.people = PeopleCounter(self.link, self.settings, self.keys)
        self.census = Census(self.link, self.keys, self.settings.ttl_ms)
        self.totals = Totals(self.link, self.settings, self.keys, self.census, self.people)

    async def beat(
        self, viewer: str, session: str = "main", *, course: str = "c1", **said: Any
    ) -> HeartbeatResult:
        """`chapter` is short for chapter_id, `take_over_from` is whose the session may have been."""
        return await self.presence.heartbeat(write_of(viewer, session, course=course, **said))

    async def leave(self, viewer: str, session: str = "main", *, course: str = "c1", **said: Any) -> None:
        await self.presence.leave(leave_of(viewer, session, course=course, **said))

    async def count(self, course: str = "c1") -> Count:
        return await self.presence.count(course)

    async def total(self, course: str = "c1") -> int:
        return (await self.count(course)).total

    async def page(self, course: str = "c1", *, limit: int = 100, **options: Any) -> Roster:
        return await self.rosters.page(course, limit=limit, **options)

    async def listed(self, course: str = "c1", **options: Any) -> list[str]:
        """The viewers of the first page, by id."""
        return [viewer.viewer_id for viewer in (await self.page(course, **options)).viewers]

    async def sweep(self) -> int:
        """One pass over what is due; returns how many viewers were removed."""
        due = await self.agenda.due(everywhere=True)
        return sum(swept.removed for swept in await self.agenda.sweep(due.courses)) if due.courses else 0

    async def settle(self) -> int:
        """Passes until nothing is due any more, a message that waits for its interval included."""
        gone, soon = 0, max(500, self.settings.publish_interval_ms)
        for _ in range(LOOKS):
            due = await self.agenda.due(everywhere=True)
            if not due.courses:
                # A claim lasts 500 ms: what is due within that is another's, or a message that waits.
                if not 0 < due.next_at <= due.now + soon:
                    return gone
                await self.pass_time(due.next_at - due.now)
                continue
            gone += sum(swept.removed for swept in await self.agenda.sweep(due.courses))
        raise AssertionError("the agenda never comes to rest")

    async def pass_time(self, ms: float, *others: Replica) -> None:
        """Makes everything `ms` older, as if Redis's clock (and that of these replicas) had gone on."""
        await self.redis.eval(OLDER, 0, int(ms), self.settings.key_prefix)
        self.passed += int(ms)
        for replica in (self, *others):  # a replica remembers by its own clock when it renewed a key's expiry
            refreshed = replica.presence.recorder.refreshed
            refreshed.update({course: at - ms / 1000 for course, at in refreshed.items()})

    async def names(self) -> set[str]:
        """Every key there is, but for what the replicas of a Cluster have agreed on."""
        names: list[Any] = await self.redis.keys("*")
        return {name.decode() for name in names} - {self.keys.agreed}

    async def now(self) -> int:
        """Redis's clock in ms."""
        seconds, micros = await self.redis.time()
        return int(seconds) * 1000 + int(micros) // 1000


def write_of(
    viewer: str, session: str = "main", *, course: str = "c1", take_over_from: str = "", **said: Any
) -> HeartbeatWrite:
    return HeartbeatWrite(
        course, viewer, Heartbeat(viewer_id=viewer, session_id=session, **_long(said)), take_over_from
    )


def leave_of(viewer: str, session: str = "main", *, course: str = "c1", **said: Any) -> LeaveWrite:
    return LeaveWrite(course, viewer, Leave(viewer_id=viewer, session_id=session, **said))


def _long(said: dict[str, Any]) -> dict[str, Any]:
    return {"chapter_id" if key == "chapter" else key: value for key, value in said.items()}


class Ear:
    """Hears every message of the channel. `async with Ear(redis) as ear`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._pubsub: PubSub = redis.pubsub()
        self.messages: list[dict[str, Any]] = []

    async def __aenter__(self) -> Ear:
        await self._pubsub.psubscribe("presence:*:changes")
        await self._pubsub.get_message(timeout=GENEROUS_S)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]

    async def hear(self, *, until: int = 0) -> list[dict[str, Any]]:
        """All that has been published so far; with `until` waits (bounded) for that many."""
        if not until:
            await self._redis.publish("presence:mark:changes", "mark")
        async with asyncio.timeout(GENEROUS_S):
            while not until or len(self.messages) < until:
                message = await self._pubsub.get_message(timeout=GENEROUS_S)
                if message is None or message["type"] != "pmessage":
                    continue
                if message["data"] == b"mark":
                    break
                change = orjson.loads(message["data"])
                check_change(change)
                self.messages.append(change)
        return self.messages


class ClusterEar(Ear):
    """The same on a Cluster: at each master the channels of the courses that tests speak of."""

    def __init__(self, redis: ClusterClient) -> None:
        self._cluster = redis
        self._keys = Keys.of(load(redis_url=redis.url))
        self._subscriptions: list[Subscription] = []
        self._marks: list[str] = []
        self.messages: list[dict[str, Any]] = []

    async def __aenter__(self) -> ClusterEar:
        for client in self._cluster.masters:
            heard = [c for c in HEARD if self._cluster.master_of(self._keys.channel(c)) is client]
            mark = next(m for n in count_up() if self._cluster.master_of(m := f"mark:{n}") is client)
            subscription = await self._cluster.subscription(client)
            subscription.subscribe([*map(self._keys.channel, heard), mark])
            for _ in range(len(heard) + 1):
                event = await subscription.get(GENEROUS_S)
                assert event is not None
                assert event.kind == "subscribed"
            self._subscriptions.append(subscription)
            self._marks.append(mark)
        return self

    async def __aexit__(self, *error: object) -> None:
        for subscription in self._subscriptions:
            subscription.close()

    async def hear(self, *, until: int = 0) -> list[dict[str, Any]]:
        """All that has been published so far; with `until` waits (bounded) for that many."""
        async with asyncio.timeout(GENEROUS_S):
            while True:
                for subscription, mark in zip(self._subscriptions, self._marks, strict=True):
                    await self._cluster.publish_sharded(mark, "mark")
                    while (event := await subscription.get(GENEROUS_S)) and event.data != b"mark":
                        if event.kind == "message":
                            self.messages.append(orjson.loads(event.data))
                if len(self.messages) >= until:
                    return self.messages


def ear_of(redis: Redis | ClusterClient) -> Ear:
    """`async with ear_of(redis) as ear`: hears every message that is published from now on."""
    return ClusterEar(redis) if isinstance(redis, ClusterClient) else Ear(redis)


def said(count: Count) -> dict[str, Any]:
    """What a message about this count says, but for its moment."""
    return {"type": "count"} | count.model_dump(exclude={"as_of", "warming"})


def without_moment(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in message.items() if key != "as_of"} for message in messages]
