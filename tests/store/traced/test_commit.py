"""One span for an exchange that many requests share: below one of them, with links to the others."""

from __future__ import annotations

import asyncio
from typing import Any

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.spans import client, exchanges, exporter, facts, id_of, parent_of, running, servers
from tests.web.conftest import server

__all__ = ["exporter", "server"]


async def test_requests_of_one_group_share_one_span(server: EmbeddedServer, exporter: Any) -> None:
    """Each request is the parent of its exchange or linked from it; sizes add up; nothing is named twice."""
    async with running(server.url) as app, client(app) as http:
        beats = [{"viewer_id": f"u{n}"} for n in range(30)]
        sent = [http.post("/v1/courses/c/heartbeat", json=beat) for beat in beats]
        assert {reply.status_code for reply in await asyncio.gather(*sent)} == {200}

        spans = exporter.get_finished_spans()

    requests, groups = servers(spans), exchanges(spans)
    assert len(requests) == 30
    assert len(groups) < 30
    assert sum(facts(group)["presence.group.size"] for group in groups) == 30
    named = [parent_of(group) or 0 for group in groups]
    named += [link.context.span_id for group in groups for link in group.links]
    assert sorted(named) == sorted(map(id_of, requests))


async def test_a_batch_is_one_request_in_its_group(server: EmbeddedServer, exporter: Any) -> None:
    """500 heartbeats of one call are a group of 500 and one request, without links, in all exchanges."""
    async with running(server.url) as app, client(app) as http:
        beats = [{"course_id": "c", "viewer_id": f"u{n}"} for n in range(500)]
        assert (await http.post("/v1/heartbeats", json={"heartbeats": beats})).status_code == 200

        spans = exporter.get_finished_spans()

    (request,), groups = servers(spans), exchanges(spans)
    assert {facts(group)["presence.group.size"] for group in groups} == {500}
    assert {parent_of(group) for group in groups} == {id_of(request)}
    assert not any(group.links for group in groups)


async def test_what_runs_by_itself_leaves_none(server: EmbeddedServer, exporter: Any) -> None:
    """Sweeps, renewals and publishing are for no request."""
    async with running(server.url, sweep_interval=0.05, publish_interval=0.05):
        await asyncio.sleep(0.5)

    assert exporter.get_finished_spans() == ()
