"""Rows as CSV (RFC 4180) that no spreadsheet takes for formulas. Used by web.api and commands."""

from __future__ import annotations

from collections.abc import Iterable

FORMULA = ("=", "+", "-", "@", "\t", "\r")
MEDIA_TYPE = "text/csv; charset=utf-8; header=present"


def cell(value: object) -> str:
    """Numbers as they are, null as nothing; a text that would be a formula gets an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    if text.startswith(FORMULA):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in ',"\r\n') else text


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """A header line and the rows."""
    lines = [",".join(map(cell, row)) for row in (header, *rows)]
    return ("\r\n".join(lines) + "\r\n").encode()
