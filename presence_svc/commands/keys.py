"""`presence-svc keys COURSE`: the names of a course's keys in Redis, and the channel of its changes.

For services that read them (a public contract: docs/data.md). Needs no Redis: names follow from the settings.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from ..errors import Misconfigured
from ..model import Id
from ..settings import Settings, load
from ..store.keys import Keys

VIEWER = "<viewer_id>"


def run(course_id: str, *, as_json: bool) -> None:
    """Prints the names. Raises Misconfigured for a malformed id."""
    try:
        TypeAdapter(Id).validate_python(course_id)
    except ValidationError:
        raise Misconfigured(f"{course_id!r} is not a course id") from None
    found = describe(course_id, load())
    if as_json:
        print(json.dumps(found))
        return
    table = Table.grid(padding=(0, 2))
    for name, key in found["keys"].items():
        table.add_row(name, key)
    table.add_row("channel", f"{found['channel']} ({found['publish']})")
    if found["partition"]:
        table.add_row("partition", "{index} of {of}, tag {tag}, slot {slot}".format(**found["partition"]))
    Console(highlight=False, soft_wrap=True).print(table)


def describe(course_id: str, settings: Settings) -> dict[str, Any]:
    """All names of a course; `partition` is None on one server."""
    keys = Keys.of(settings)
    partition = keys.partition_of(course_id)
    return {
        "course_id": course_id,
        "keys": keys.names(course_id, VIEWER),
        "channel": keys.channel(course_id),
        "publish": "SPUBLISH" if settings.is_sharded else "PUBLISH",
        "partition": {
            "index": partition.number,
            "of": len(keys.partitions),
            "tag": partition.tag,
            "slot": partition.slot,
        }
        if keys.is_partitioned
        else None,
    }
