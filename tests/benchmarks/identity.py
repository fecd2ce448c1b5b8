"""What a token costs: processor time of a heartbeat with AUTH=jwt (warm verdicts) as a ratio to AUTH=trusted.

Run by hand: `python -m tests.benchmarks.identity`. Rounds alternate between the two services, so that
whatever else the machine does falls on both.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from statistics import median

from tests.auth.issuer import Issuer
from tests.rig import VALKEY, Service, real_server

VIEWERS = 32
BEATS = 400
ROUNDS = 15
LENGTH = re.compile(rb"content-length: (\d+)")
FREE = {f"PRESENCE_{name}": "1000000" for name in ("BEAT_RATE", "BEAT_BURST", "JOIN_RATE", "JOIN_BURST")}


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def viewer(port: int, number: int, token: str | None) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    header = f"authorization: Bearer {token}\r\n" if token else ""
    for seq in range(BEATS):
        body = f'{{"viewer_id":"u{number}","session_id":"s","chapter_id":"ch-1","seq":{seq}}}'
        head = (
            "POST /v1/courses/c1/heartbeat HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            f"{header}content-length: {len(body)}\r\n\r\n"
        )
        writer.write((head + body).encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(answer[:200])
        length = LENGTH.search(answer)
        await reader.readexactly(int(length[1]) if length else 0)
    writer.close()
    await writer.wait_closed()


async def cost_us(service: Service, tokens: list[str | None]) -> float:
    """Processor time per heartbeat, in microseconds."""
    before = cpu_s(service.pid)
    await asyncio.gather(*(viewer(service.port, number, token) for number, token in enumerate(tokens)))
    return (cpu_s(service.pid) - before) / (len(tokens) * BEATS) * 1e6


async def compare(trusted: Service, jwt: Service, issuer: Issuer) -> None:
    none: list[str | None] = [None] * VIEWERS
    tokens: list[str | None] = [issuer.token(f"u{number}", lasts_s=3600) for number in range(VIEWERS)]
    await cost_us(trusted, none)
    await cost_us(jwt, tokens)
    costs = [(await cost_us(trusted, none), await cost_us(jwt, tokens)) for _ in range(ROUNDS)]
    for before, after in costs:
        print(f"trusted {before:6.1f} us   jwt {after:6.1f} us   ratio {after / before:.3f}")
    print(f"median ratio {median(after / before for before, after in costs):.3f}")


def main() -> None:
    with real_server(VALKEY) as one, real_server(VALKEY) as two, Issuer() as issuer:
        free = FREE | {"PRESENCE_READ_BURST": "1000000"}
        with (
            Service(free | {"PRESENCE_REDIS_URL": one.url}, is_measured=True) as trusted,
            Service(issuer.env | free | {"PRESENCE_REDIS_URL": two.url}, is_measured=True) as jwt,
        ):
            asyncio.run(compare(trusted, jwt, issuer))


if __name__ == "__main__":
    main()
