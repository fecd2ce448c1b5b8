"""The product's own numbers in `/metrics`: totals, no course in a label, the same from any worker."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx2
import pytest

from tests.live.eventually import eventually
from tests.rig import Service


def heads(text: str) -> dict[str, float]:
    found = re.findall(r"^presence_(viewers|anonymous_viewers|courses) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_heads_are_counted_once(
    spawn_service: Callable[..., Service], redis_url: str, workers: str
) -> None:
    """Viewers, the anonymous among them, courses: however many workers and replicas there are."""
    env = {"PRESENCE_REDIS_URL": redis_url, "PRESENCE_WORKERS": workers}
    service = spawn_service(env)
    for course in range(150):
        beats = [{"course_id": f"c{course}", "viewer_id": f"v{n}", "anonymous": n == 0} for n in range(3)]
        reply = httpx2.post(f"{service.url}/v1/heartbeats", json={"heartbeats": beats})
        assert reply.status_code == 200
    other = spawn_service(env)

    async with httpx2.AsyncClient() as http:
        for one in (service, other):

            async def counted(url: str = one.url) -> bool:
                found = heads((await http.get(f"{url}/metrics")).text)
                return found == {"viewers": 450.0, "anonymous_viewers": 150.0, "courses": 150.0}

            await eventually("heads are counted", counted, within_s=30, every_s=0.5)
        text = (await http.get(f"{service.url}/metrics")).text
    assert "c149" not in text
    assert "presence_loop_lag_seconds_bucket" in text
