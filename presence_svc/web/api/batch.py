"""Many heartbeats in one body, each parsed by itself or found in the cache. Used by web.api.heartbeats.

A body as JSON libraries write it (only a list of objects, without blanks or with Python's) is split into the
texts of its items. An item that is the same to the byte but for the digits of its seq means the same, as in
web.heartbeat_cache. Any other body is parsed as a whole, and nothing of it is cached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from ...auth.caller import SERVICE
from ...auth.subject import named
from ...errors import Invalid, PresenceError
from ...model import CourseHeartbeat
from ...store.redis.resp import pack_digits
from ...store.write import NO_SEQ, HeartbeatWrite
from ...text import loads
from .. import body
from ..heartbeat import Admitted, HeartbeatHandler
from ..heartbeat_cache import LONGEST, Key

ITEMS = 1000
END = b"}]}"
DIGITS = b"0123456789"
MOST_DIGITS = 15  # exact, whatever they are (model.MAX_SAFE_INT)

Item = dict[str, Any]
Reading = Admitted | PresenceError  # an item's heartbeat, or what is wrong with it


class Layout(NamedTuple):
    """How a JSON library begins such a body, separates its items and writes the name of a seq."""

    start: bytes
    between: bytes
    seq: bytes


LAYOUTS = (
    Layout(b'{"heartbeats":[{', b"},{", b'"seq":'),
    Layout(b'{"heartbeats": [{', b"}, {", b'"seq": '),
)


def read(handler: HeartbeatHandler, content: bytes) -> list[Reading]:
    """Reads every item. Raises BadRequest or Invalid if the body as a whole is wrong."""
    for layout in LAYOUTS:
        if content.startswith(layout.start) and content.endswith(END):
            texts = content[len(layout.start) : -len(END)].split(layout.between)
            found = _split(handler, texts, layout.seq) if len(texts) <= ITEMS else None
            return found or _whole(handler, content)
    return _whole(handler, content)


def _whole(handler: HeartbeatHandler, content: bytes) -> list[Reading]:
    items = body.parse(content, handler.service.metrics).get("heartbeats")
    if not isinstance(items, list) or not 1 <= len(items) <= ITEMS:
        raise Invalid([("/heartbeats", f"must be a list of 1 to {ITEMS} heartbeats")])
    return [_judged(handler, item, index) for index, item in enumerate(items)]


def _split(handler: HeartbeatHandler, texts: list[bytes], name: bytes) -> list[Reading] | None:
    """Reads items from their texts. None unless each text is the inside of exactly one object."""
    cache = handler.cache()
    readings: list[Any] = []
    new: list[tuple[int, Item]] = []
    for text in texts:
        key, digits = split_seq(text, name)
        cached = cache.get(key)
        if cached is not None:
            readings.append((cached, pack_digits(digits) if digits else NO_SEQ))
            continue
        item = alone(text, handler.service.metrics.repaired.inc)
        if item is None:
            return None
        new.append((len(readings), item))
        readings.append(None)
    for index, item in new:
        readings[index] = _remembered(handler, texts[index], name, item, index)
    return readings


def _remembered(handler: HeartbeatHandler, text: bytes, name: bytes, item: Item, index: int) -> Reading:
    reading = _judged(handler, item, index)
    if isinstance(reading, tuple) and len(text) <= LONGEST:
        cached, _ = reading
        if _is_certain(text, name, item, cached.write.heartbeat.seq):
            handler.cache().keep(split_seq(text, name)[0], cached)
    return reading


def _judged(handler: HeartbeatHandler, item: Any, index: int) -> Reading:
    """Validates an item. An error is returned as its result, so that it affects no other item."""
    try:
        heartbeat = body.validate(CourseHeartbeat, item, "heartbeats", index)
        viewer_id = named(heartbeat, "heartbeats", index)
        write = HeartbeatWrite(heartbeat.course_id, viewer_id, heartbeat)
        return handler.prepare(write, SERVICE), write.seq
    except PresenceError as error:
        return error


def alone(text: bytes, on_repair: Callable[[], object] = lambda: None) -> Item | None:
    """Parses the inside of one object, nested as in the body, as parsers limit depth; None if it is none."""
    try:
        items, *others = loads(b"[[{%b}]]" % text, on_repair)
    except orjson.JSONDecodeError:
        return None
    item: Item = items[0]
    return None if others or len(items) > 1 else item


def split_seq(text: bytes, name: bytes) -> tuple[Key, bytes]:
    """A text without its last seq, and the digits of that seq; nothing if they are not a plain integer.

    The cache is asked before a text is parsed, so the three kinds of keys must never be equal: for a text
    without a seq, for one that ends with it, and for one that goes on after it.
    """
    before, found, after = text.rpartition(name)
    if after.isdigit() and not after.startswith(b"0") and len(after) <= MOST_DIGITS:
        return before, after
    if not found:
        return (text,), b""
    rest = after.lstrip(DIGITS)
    size = len(after) - len(rest)
    is_number = 0 < size <= MOST_DIGITS and (size == 1 or not after.startswith(b"0"))
    if not is_number or (rest and not rest.startswith(b",")):
        return (), b""
    return (before, rest) if rest else before, after[:size]


def _is_certain(text: bytes, name: bytes, item: Item, seq: int | None) -> bool:
    """Whether the digits are certainly the seq: with other digits the item differs only in its seq."""
    key, digits = split_seq(text, name)
    if not digits:
        return bool(key) and seq is None
    other = b"2" if digits == b"1" else b"1"
    before, found, after = text.rpartition(name)
    changed = alone(before + found + other + after[len(digits) :])
    return seq == int(digits) and changed == item | {"seq": int(other)}
