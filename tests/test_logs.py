"""Log lines: each is one line of ASCII, and no secret is left in it, whoever has logged it (H13)."""

from __future__ import annotations

import json
import logging

import pytest

from presence_svc.logs import JsonLines, clean

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl"


def test_the_formatter_strikes_secrets_out_whoever_logs_them() -> None:
    """A token in a message, a password in an address, a traceback with both: one line without them."""
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl"
    try:
        raise ValueError(f"redis://user:hunter2@host refused Bearer {token}")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "got %s\nand\ud800 more", (token,), info)
    record.fields = {"url": "redis://user:hunter2@host", "n": 7}

    line = JsonLines().format(record)

    assert "\n" not in line
    assert "hunter2" not in line
    assert "eyJ" not in line
    assert json.loads(line)["n"] == 7


@pytest.mark.parametrize("end", ["\n", "\r", "\x1b[2J", "\x7f", "\x85", "\x9b2J", "\u2028", "\u2029"])
def test_a_line_of_the_log_has_one_end(end: str) -> None:
    """H13: nothing that a reader takes for a line's end, or a terminal for a command, is left as it came."""
    record = logging.LogRecord("x", logging.INFO, "f", 1, "got %s", (end + "more",), None)
    record.fields = {"path": end}

    line = JsonLines().format(record)

    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["event"] == f"got {end}more"


@pytest.mark.parametrize(
    "text", [f"/x_{TOKEN}", f"/{TOKEN}/{TOKEN}", "/" + "a" * 290 + TOKEN, TOKEN[:30], f"/_{TOKEN[:20]}"]
)
def test_no_part_of_a_token_is_logged(text: str) -> None:
    """H13: wherever it stands, and also where a path is cut in its middle."""
    cut = clean(text, 300)

    assert len(cut) <= 300
    assert "eyJ" not in cut
    assert "c2ln" not in cut
