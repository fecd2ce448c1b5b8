"""What only the async client has: tokens that are awaited, calls side by side, cancellation."""

from __future__ import annotations

import asyncio

import pytest

from presence_svc.client import AsyncPresenceClient
from tests.client.conftest import KEY
from tests.client.test_synchronous import token_of
from tests.rig import Service


async def test_a_token_may_be_awaited(service: Service, course: str) -> None:
    """As a token endpoint must be asked for it."""

    async def fetched() -> str:
        await asyncio.sleep(0)
        return token_of("ada")

    async with AsyncPresenceClient(service.url, token=fetched) as presence:
        assert (await presence.heartbeat(course)).viewer_id == "ada"


async def test_calls_run_side_by_side(service: Service, course: str) -> None:
    """One client, many calls at once, on shared connections."""
    async with AsyncPresenceClient(service.url, api_key=KEY, deadline_s=20) as presence:
        replies = await asyncio.gather(*(presence.heartbeat(course, viewer_id=f"u{n}") for n in range(50)))

        assert {reply.viewer_id for reply in replies} == {f"u{n}" for n in range(50)}
        assert (await presence.count(course)).total == 50


async def test_a_call_that_is_cancelled_ends(service: Service, course: str) -> None:
    """And the client goes on."""
    async with AsyncPresenceClient(service.url, api_key=KEY) as presence:
        task = asyncio.create_task(presence.count(course))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert (await presence.count(course)).total == 0
