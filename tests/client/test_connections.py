"""Connections stay with the process and the event loop that have opened them, whoever uses the client."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading

import pytest

from presence_svc.client import AsyncPresenceClient
from tests.client.conftest import KEY
from tests.rig import Service

FORKED = """
import os, threading
from presence_svc.client import PresenceClient
presence = PresenceClient({url!r}, api_key={key!r}, deadline_s=15)
presence.count("before")
wrong = []
def ask(mine):
    wrong.extend(n for n in range(100) if presence.count(f"{{mine}}-{{n}}").course_id != f"{{mine}}-{{n}}")
child = os.fork()
ask("child" if child == 0 else "parent")
if child == 0:
    os._exit(len(wrong) and 1)
_, status = os.waitpid(child, 0)
presence.count("after")
presence.close()
print(len(wrong), os.waitstatus_to_exitcode(status))
"""


def test_a_forked_process_opens_its_own(service: Service) -> None:
    """Parent and child would else read each other's answers from one connection, or wait for ever."""
    script = FORKED.format(url=service.url, key=KEY)

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=28)

    assert done.stdout.split() == ["0", "0"], done.stderr


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_loop_after_the_other(service: Service, course: str) -> None:
    """As a script, a task queue or a Django view calls asyncio.run again and again."""
    presence = AsyncPresenceClient(service.url, api_key=KEY)

    async def beat(number: int) -> int:
        return (await presence.heartbeat(course, viewer_id=f"u{number}")).total

    assert [asyncio.run(beat(number)) for number in range(3)] == [1, 2, 3]

    asyncio.run(presence.close())
    gc.collect()  # here, where what is left of loops that have ended may be complained about


def test_several_loops_at_once(service: Service, course: str) -> None:
    """Each in a thread of its own, with one client between them."""
    presence = AsyncPresenceClient(service.url, api_key=KEY, deadline_s=20)
    found: list[str] = []

    async def ask(mine: int) -> None:
        for number in range(20):
            found.append((await presence.count(f"{course}-{mine}-{number}")).course_id)
        await presence._connections.get().aclose()

    threads = [threading.Thread(target=lambda one: asyncio.run(ask(one)), args=(mine,)) for mine in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(25)

    assert sorted(found) == sorted(f"{course}-{mine}-{number}" for mine in range(4) for number in range(20))
