"""A group commit per master: a slow one holds up its own only, and order outlives new commits (S6, S15)."""

from __future__ import annotations

import asyncio

import pytest

from presence_svc.errors import PresenceError, Unavailable
from presence_svc.store.group_commit import GroupCommit
from presence_svc.store.node_commits import Commit, NodeCommits

Op = tuple[str, int]


class Masters:
    """What a link says of commits, and a commit that waits at the gates of masters."""

    def __init__(self) -> None:
        self.version = 0
        self.owner = {"a": 1, "b": 2}
        self.gates = {1: asyncio.Event(), 2: asyncio.Event()}
        self.done: list[Op] = []
        for gate in self.gates.values():
            gate.set()

    def node_of(self, op: Op) -> int:
        return self.owner[op[0]]

    async def commit(self, ops: list[Op]) -> list[int | PresenceError]:
        for op in ops:
            await self.gates[self.owner_at_start[op]].wait()
        self.done += ops
        return [number if number >= 0 else Unavailable("away") for _, number in ops]

    @property
    def owner_at_start(self) -> dict[Op, int]:
        return {(name, n): 1 if name == "a" else 2 for name in "ab" for n in range(-1, 50)}


def commits_of(masters: Masters) -> NodeCommits[Op, int]:
    def make(commit: Commit[Op, int]) -> GroupCommit[Op, int]:
        return GroupCommit(commit, limit=5)

    return NodeCommits(masters.commit, make, masters.node_of, masters)  # type: ignore[arg-type]


async def test_a_slow_master_holds_up_its_own_only() -> None:
    """While one does not answer, the other's are through; many at once keep their order."""
    masters = Masters()
    commits = commits_of(masters)
    masters.gates[1].clear()
    slow = commits.submit(("a", 1))

    assert await asyncio.wait_for(commits.submit(("b", 2)), 5) == 2
    assert not slow.done()
    assert len(commits) == 0

    masters.gates[1].set()
    assert await slow == 1
    results = await commits.submit_many([("a", 3), ("b", 4), ("a", -1), ("b", 5)])
    assert [r if isinstance(r, int) else type(r) for r in results] == [3, 4, Unavailable, 5]
    await commits.close()


async def test_order_outlives_a_change_of_lanes() -> None:
    """What was submitted for a course before its slot moved is through before what comes after it."""
    masters = Masters()
    commits = commits_of(masters)
    masters.gates[1].clear()
    before = commits.submit(("a", 1))
    await asyncio.sleep(0)
    masters.owner["a"], masters.version = 2, 1
    after = commits.submit(("a", 2))
    await asyncio.sleep(0.01)
    assert masters.done == []

    masters.gates[1].set()
    await asyncio.gather(before, after)

    assert masters.done == [("a", 1), ("a", 2)]
    await commits.close()


async def test_each_queue_is_bounded() -> None:
    """Beyond its limit a queue refuses; the others take on."""
    masters = Masters()
    commits = commits_of(masters)
    masters.gates[1].clear()
    waiting = [commits.submit(("a", n)) for n in range(5)]

    with pytest.raises(Unavailable):
        commits.submit(("a", 6))
    assert await commits.submit(("b", 7)) == 7

    masters.gates[1].set()
    assert await asyncio.gather(*waiting) == [0, 1, 2, 3, 4]
    await commits.close()
