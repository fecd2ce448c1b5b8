"""`/v1/titles` and `/v1/me`: what a dashboard asks for beside numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from tests.auth.issuer import Issuer
from tests.rig import Service

Spawn = Callable[..., Service]
KEYS = {
    "PRESENCE_SERVICE_KEYS": "a-service-key-of-titles",
    "PRESENCE_CREATOR_KEYS": "a-creator-key-of-titles a b,a-creator-key-of-everything *",
    "PRESENCE_JWT_CREATOR_CLAIM": "teaches",
}


class Stage(NamedTuple):
    url: str
    token: str


@pytest.fixture
def service(spawn_service: Spawn, tmp_path: Path) -> Iterator[Stage]:
    with Issuer() as issuer:
        file = tmp_path / "titles.json"
        file.write_text(json.dumps({"a": {"title": "Ants", "chapters": {"1": "Legs"}}, "z": "Antelopes"}))
        service = spawn_service(issuer.env | KEYS | {"PRESENCE_TITLES_URL": str(file)})
        yield Stage(service.url, issuer.token("ada", teaches=["b"]))


def ask(service: Stage, path: str, key: str) -> httpx2.Response:
    return httpx2.get(f"{service.url}{path}", headers={"authorization": f"Bearer {key}"}, timeout=5)


def test_titles_are_told_of_courses_that_one_may_see(service: Stage) -> None:
    """By id to whoever sees the numbers; by their words to whoever sees all courses."""
    creator, everything = "a-creator-key-of-titles", KEYS["PRESENCE_SERVICE_KEYS"]

    found = ask(service, "/v1/titles?course_id=a&course_id=b", creator)

    assert found.json() == {"titles": {"a": {"title": "Ants", "chapters": {"1": "Legs"}}}}
    assert ask(service, "/v1/titles?course_id=z", creator).status_code == 403
    assert ask(service, "/v1/titles?q=ant", creator).status_code == 403
    assert list(ask(service, "/v1/titles?q=ANT", everything).json()["titles"]) == ["a", "z"]
    assert list(ask(service, "/v1/titles?q=ANT&limit=1", everything).json()["titles"]) == ["a"]
    assert ask(service, f"/v1/titles?q={'x' * 129}", everything).status_code == 422
    assert ask(service, "/v1/titles", everything).status_code == 422


def test_callers_are_told_whose_courses_they_may_see(service: Stage) -> None:
    """A creator's list, by key or by token; null for all of them, and then the totals are theirs too."""
    callers = {
        "a-service-key-of-titles": {"role": "service", "courses": None},
        "a-creator-key-of-titles": {"role": "creator", "courses": ["a", "b"]},
        "a-creator-key-of-everything": {"role": "creator", "courses": None},
        service.token: {"role": "viewer", "courses": ["b"]},
    }

    assert {key: ask(service, "/v1/me", key).json() for key in callers} == callers
    assert httpx2.get(f"{service.url}/v1/me").status_code == 401
    assert [ask(service, "/v1/stats", key).status_code for key in callers] == [200, 403, 200, 403]


def test_stats_say_whether_redis_has_only_begun(service: Stage) -> None:
    """S11: for a minute, there may be more."""
    assert ask(service, "/v1/stats", KEYS["PRESENCE_SERVICE_KEYS"]).json()["warming"] is True
