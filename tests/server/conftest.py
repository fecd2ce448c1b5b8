"""The two replicas of tests/web, for tests of the connections that carry them."""

from __future__ import annotations

from tests.web.conftest import one, other, pair, server

__all__ = ["one", "other", "pair", "server"]
