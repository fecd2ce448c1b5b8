"""The path of a heartbeat and of a frame beside another checkout of this project: what has a change cost?

`BEFORE=../other-checkout python -m tests.benchmarks before`. Both run with the packages installed here.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks import fanout
from tests.benchmarks.rate import Pair, in_turn, our_side
from tests.benchmarks.row import Figure, Missing, Scale

AIM = "<= 1.03"
SLOW = {"PRESENCE_FAST_PATH": "false"}


def compare(scale: Scale) -> list[Figure]:
    """Processor time now / before, of a replica and of its Redis, round by round in turn. Raises Missing."""
    path = _checkout()
    old = {"PYTHONPATH": str(path), "PYTHONSAFEPATH": "1"}  # what `python -m presence_svc` runs
    figures = []
    for what, env, old_env in (("fast path", {}, {}), ("ASGI app", SLOW, _slow(path))):
        with our_side(scale, env) as ours, our_side(scale, old | old_env) as theirs:
            pairs = in_turn(ours, theirs, scale)
        figures += [
            Figure(f"{what}, replica", [p.ours.us / p.theirs.us for p in pairs], AIM),
            Figure(f"{what}, Redis", [_redis_us(p, 0) / _redis_us(p, 1) for p in pairs], AIM),
        ]
    with ExitStack() as stack:
        now = stack.enter_context(fanout.ours(scale.listeners))
        then = stack.enter_context(fanout.ours(scale.listeners, old))
        rounds = [(now.cost_us(scale.frames), then.cost_us(scale.frames)) for _ in range(scale.rounds)]
    return [*figures, Figure("a frame, replica", [ours / theirs for ours, theirs in rounds], AIM)]


def _checkout() -> Path:
    """Raises Missing."""
    path = Path(os.environ.get("BEFORE", "")).absolute()
    if not os.environ.get("BEFORE") or not (path / "presence_svc").is_dir():
        raise Missing("set BEFORE to the path of another checkout")
    return path


def _slow(path: Path) -> dict[str, str]:
    """Without the fast path, by the name that the setting has in that checkout."""
    files = [*path.glob("presence_svc/settings.py"), *path.glob("presence_svc/settings/*.py")]
    is_new = any("fast_path:" in file.read_text() for file in files)
    return SLOW if is_new else {"PRESENCE_EXPRESS": "false"}


def _redis_us(pair: Pair, side: int) -> float:
    return pair[side].us_with_redis - pair[side].us
