"""Group commit: who shares an exchange, who waits, and what happens when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from presence_svc.errors import Limited, PresenceError, Unavailable
from presence_svc.store.group_commit import GroupCommit


class Redis:
    """Stands in for the exchange: notes the groups, answers when told to."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def commit(self, ops: list[int]) -> list[int | PresenceError]:
        self.groups.append(ops)
        await self.open.wait()
        if self.error:
            raise self.error
        return [Limited("no sevens") if op == 7 else op * 10 for op in ops]


@pytest.fixture
def redis() -> Redis:
    return Redis()


@pytest.fixture
async def group_commit(redis: Redis) -> AsyncIterator[GroupCommit[int, int]]:
    """With room for five submissions and groups of three."""
    made = GroupCommit[int, int](redis.commit, limit=5, max_group=3)
    yield made
    redis.open.set()
    await asyncio.wait_for(made.close(), 5)


async def test_what_arrives_together_shares_an_exchange(
    redis: Redis, group_commit: GroupCommit[int, int]
) -> None:
    """Each caller gets its own result, in order, from one exchange."""
    assert await asyncio.gather(*map(group_commit.submit, (1, 2, 3))) == [10, 20, 30]
    assert redis.groups == [[1, 2, 3]]


async def test_what_arrives_meanwhile_shares_the_next(
    redis: Redis, group_commit: GroupCommit[int, int]
) -> None:
    """While one exchange is under way the others gather, up to the largest group."""
    redis.open.clear()
    futures = [group_commit.submit(1)]
    await asyncio.sleep(0)
    futures += [group_commit.submit(n) for n in (2, 3, 4, 5)]
    redis.open.set()

    assert await asyncio.gather(*futures) == [10, 20, 30, 40, 50]
    assert redis.groups == [[1], [2, 3, 4], [5]]


async def test_a_full_queue_refuses_at_once(redis: Redis, group_commit: GroupCommit[int, int]) -> None:
    """Beyond the limit: Unavailable without waiting; there is room again when the queue has moved."""
    redis.open.clear()
    first = group_commit.submit(0)
    await asyncio.sleep(0)
    waiting = [group_commit.submit(n) for n in range(1, 6)]

    with pytest.raises(Unavailable):
        group_commit.submit(6)
    redis.open.set()
    await asyncio.gather(first, *waiting)

    assert await group_commit.submit(6) == 60
    assert len(group_commit) == 0


async def test_one_error_spoils_no_other(group_commit: GroupCommit[int, int]) -> None:
    """A result that is an error is raised for its own caller only."""
    outcomes = await asyncio.gather(*map(group_commit.submit, (6, 7, 8)), return_exceptions=True)

    assert outcomes[0::2] == [60, 80]
    assert isinstance(outcomes[1], Limited)


async def test_a_failed_exchange_fails_those_who_wait(
    redis: Redis, group_commit: GroupCommit[int, int]
) -> None:
    """Nobody who waited through one deadline waits through a second one; the next comer is served."""
    redis.open.clear()
    redis.error = Unavailable("away")
    first = group_commit.submit(1)
    await asyncio.sleep(0)
    waiting = [group_commit.submit(n) for n in (2, 3, 4, 5)]
    redis.open.set()
    outcomes = await asyncio.gather(first, *waiting, return_exceptions=True)
    redis.error = None

    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    assert redis.groups == [[1]]
    assert await group_commit.submit(6) == 60


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("x")])
async def test_a_bug_is_told_as_unavailable(
    redis: Redis, group_commit: GroupCommit[int, int], error: Exception
) -> None:
    """What is none of our errors is logged, not shown, and ends nothing."""
    redis.error = error
    with pytest.raises(Unavailable, match="failed"):
        await group_commit.submit(1)
    redis.error = None

    assert await group_commit.submit(2) == 20


async def test_a_caller_that_gave_up_disturbs_nobody(
    redis: Redis, group_commit: GroupCommit[int, int]
) -> None:
    """A cancelled wait takes nothing from the others of its group."""
    redis.open.clear()
    gone, stays = group_commit.submit(1), group_commit.submit(2)
    await asyncio.sleep(0)
    gone.cancel()
    redis.open.set()

    assert await stays == 20


async def test_many_are_told_together(redis: Redis, group_commit: GroupCommit[int, int]) -> None:
    """One future for all, in order, though they take two exchanges; an error stands in its place."""
    alone = group_commit.submit(1)
    results = await group_commit.submit_many([6, 7, 8, 9])

    assert await alone == 10
    assert results[0::2] == [60, 80]
    assert isinstance(results[1], Limited)
    assert results[3] == 90
    assert redis.groups == [[1, 6, 7], [8, 9]]


async def test_many_share_exchanges_with_single_ones(
    redis: Redis, group_commit: GroupCommit[int, int]
) -> None:
    """In order of arrival, whoever they belong to."""
    first, two, last = group_commit.submit_many([1]), group_commit.submit_many([2, 3]), group_commit.submit(4)

    assert (await first, await two, await last) == ([10], [20, 30], 40)
    assert redis.groups == [[1, 2, 3], [4]]


async def test_of_many_those_beyond_the_limit_are_refused(
    redis: Redis, group_commit: GroupCommit[int, int]
) -> None:
    """As many as there is room for, from the first on; the others are Unavailable in their places."""
    alone = group_commit.submit(0)
    some = group_commit.submit_many([1, 2, 3, 4, 5, 6])
    none = group_commit.submit_many([8, 9])
    results = await some

    assert results[:4] == [10, 20, 30, 40]
    assert [isinstance(result, Unavailable) for result in results[4:]] == [True, True]
    assert [isinstance(result, Unavailable) for result in await none] == [True, True]
    assert await alone == 0
    assert redis.groups == [[0, 1, 2], [3, 4]]
    assert await group_commit.submit_many([]) == []


async def test_when_an_exchange_fails_the_rest_of_many_fail_with_it() -> None:
    """What was recorded before stays so; nobody waits for a second deadline."""

    async def commit(ops: list[int]) -> list[int | PresenceError]:
        if 4 in ops:
            raise Unavailable("away")
        return [*ops]

    results = await GroupCommit[int, int](commit, limit=10, max_group=2).submit_many([1, 2, 3, 4, 5])

    assert results[:2] == [1, 2]
    assert [isinstance(result, Unavailable) for result in results[2:]] == [True] * 3


async def test_many_whose_caller_gave_up_disturb_nobody(
    redis: Redis, group_commit: GroupCommit[int, int]
) -> None:
    """A cancelled wait takes nothing from the others of its group."""
    redis.open.clear()
    gone, stays = group_commit.submit_many([1, 2]), group_commit.submit_many([3, 4])
    await asyncio.sleep(0)
    gone.cancel()
    redis.open.set()

    assert await stays == [30, 40]


async def test_close_waits_for_what_is_under_way(redis: Redis, group_commit: GroupCommit[int, int]) -> None:
    """After close every submission has its answer."""
    redis.open.clear()
    futures = [group_commit.submit(n) for n in (1, 2, 3, 4)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(group_commit.close())
    await asyncio.sleep(0)
    early = closing.done()
    redis.open.set()
    await closing

    assert not early
    assert [future.result() for future in futures] == [10, 20, 30, 40]


async def test_groups_are_reported() -> None:
    """`on_group` hears each size."""
    sizes: list[int] = []
    hear: Callable[[int], None] = sizes.append
    group_commit = GroupCommit[int, int](Redis().commit, limit=10, max_group=3, on_group=hear)
    await asyncio.gather(*map(group_commit.submit, range(5)))

    assert sizes == [3, 2]
