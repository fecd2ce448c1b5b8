"""Conditional requests (RFC 9110, section 13.1.2): does the client have this version already?"""

from __future__ import annotations

from starlette.requests import Request


def is_known(request: Request, etag: str) -> bool:
    """Whether If-None-Match has this tag or `*`. A weak comparison, because proxies add and drop the W/."""
    sent = ",".join(request.headers.getlist("if-none-match"))
    listed = [tag.strip().removeprefix("W/") for tag in sent.split(",")]
    return listed == ["*"] or etag.removeprefix("W/") in listed
