"""What only the async client has: awaited tokens, calls side by side, cancellation. Else both are alike."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from types import FunctionType
from typing import get_args, get_origin, get_type_hints

import pytest

from presence_svc.client import AsyncPresenceClient, PresenceClient
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


def shape(function: FunctionType) -> tuple[object, ...]:
    """How it is called, what comes of it and what is said of it, waiting or not."""
    hints = get_type_hints(function, include_extras=True)
    result = hints.pop("return")
    if get_origin(result) in (Iterator, AsyncIterator):
        result = ("each", *get_args(result))
    parameters = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default) for one in parameters], hints, result, function.__doc__


def test_both_clients_have_the_same_calls() -> None:
    """Whoever moves from one to the other changes nothing but `await`: names, parameters, results, words."""
    waiting, awaited = (
        {
            name: made
            for name, made in vars(client).items()
            if isinstance(made, FunctionType) and name[0] != "_"
        }
        for client in (PresenceClient, AsyncPresenceClient)
    )

    assert len(waiting) >= 14
    assert waiting.keys() == awaited.keys()
    for name, made in waiting.items():
        assert shape(awaited[name]) == shape(made), name
        assert made.__doc__, name
        assert inspect.iscoroutinefunction(awaited[name]) != inspect.isasyncgenfunction(awaited[name]), name


def test_both_clients_are_made_alike() -> None:
    """The same options; only a token may be awaited, and only the transport is of another kind."""
    options = [inspect.signature(client).parameters for client in (PresenceClient, AsyncPresenceClient)]

    assert [[(one.name, one.kind, one.default) for one in each.values()] for each in options][:1] == [
        [(one.name, one.kind, one.default) for one in options[1].values()]
    ]
    differ = {name for name, one in options[0].items() if one.annotation != options[1][name].annotation}
    assert differ == {"token", "transport"}
