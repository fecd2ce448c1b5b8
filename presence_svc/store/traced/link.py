"""Makes a link record a span for each exchange on behalf of a request. Called by store.presence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import tracing
from ...errors import PresenceError
from ..redis.link import Command, Link
from ..redis.reply import ReplyError
from ..redis.resp import ScriptCall


def trace_link(link: Link) -> None:
    """Patches this object and not its class: in every kind of link all commands go through `results`."""
    results = link.results

    async def traced(
        commands: Sequence[Command | ScriptCall], *, low_priority: bool = False
    ) -> list[Any | PresenceError]:
        with tracing.exchange(len(commands)) as failed:
            replies = await results(commands, low_priority=low_priority)
            for reply in replies:
                if isinstance(reply, PresenceError):
                    cause = reply.__cause__
                    failed(cause.code if isinstance(cause, ReplyError) else type(reply).__name__)
                    break
            return replies

    link.results = traced  # type: ignore[method-assign]
