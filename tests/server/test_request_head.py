"""Heads that were read before: what one says is never another's, least of all a token (H4)."""

from __future__ import annotations

import pytest

from presence_svc.server.request_head import HEADS, HeadCache, HeartbeatHead

HEAD = b"POST /v1/courses/c1/heartbeat HTTP/1.1\r\nHost: x\r\n%bContent-Length: 20\r\n\r\n"
BARE = HeartbeatHead("c1", None, b"https://school.example", 20)
ADA = HEAD % b"Authorization: Bearer ada.ada.ada\r\n"


def remembered() -> HeadCache:
    heads = HeadCache()
    heads.remember(ADA, BARE._replace(authorization=b"Bearer ada.ada.ada"))
    return heads


@pytest.mark.parametrize("token", [b"ada.ada.ada", b"bob.bob.bob", b"a", b"-._~+/="])
def test_a_head_with_another_token_is_that_token(token: bytes) -> None:
    """All else is as it was read; the token is the one in this head."""
    found = remembered().find(HEAD % (b"Authorization: Bearer %b\r\n" % token))

    assert found == BARE._replace(authorization=b"Bearer " + token)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Authorization: \r\n",
        b"Authorization: Bearer \r\n",
        b"Authorization: Bearer  two\r\n",
        b"Authorization: Basic ada.ada.ada\r\n",
        b"authorization: Bearer ada.ada.ada\r\n",
        b"Authorization: Bearer ada\tada\r\n",
        b"Authorization: Bearer ada\nX: y\r\n",
        b"Authorization: Bearer ada.ada.ada\r\nAuthorization: Bearer bob.bob.bob\r\n",
        b"X: y\r\nAuthorization: Bearer ada.ada.ada\r\n",
    ],
)
def test_a_head_that_is_written_in_another_way_is_unknown(line: bytes) -> None:
    """Without a token nobody is taken for whoever had one; what differs is the parser's to read."""
    assert remembered().find(HEAD % line) is None


@pytest.mark.parametrize("behind", [b"\r\n", b" ", b"{}\r\n", ADA])
def test_a_head_with_more_behind_it_is_unknown(behind: bytes) -> None:
    """The fast path looks for a head's end from behind: what it found may be in the body."""
    heads = remembered()
    heads.remember(HEAD % b"", BARE)

    assert heads.find(ADA + behind) is None
    assert heads.find(HEAD % b"" + behind) is None


def test_the_whole_head_is_asked_where_there_is_no_token() -> None:
    """And a token that the parser has read otherwise than we would is not kept."""
    heads = HeadCache()
    heads.remember(HEAD % b"", BARE)
    heads.remember(ADA, BARE._replace(authorization=b"Bearer another"))

    assert heads.find(HEAD % b"") == BARE
    assert heads.find(ADA) is None


def test_it_is_bounded() -> None:
    """The oldest goes."""
    heads = HeadCache()
    for n in range(HEADS + 5):
        heads.remember(HEAD % (b"X: %d\r\n" % n), BARE)

    assert heads.find(HEAD % b"X: 0\r\n") is None
