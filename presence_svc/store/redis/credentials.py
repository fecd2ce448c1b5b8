"""Loads the redis-py CredentialProvider that a setting names, for a Redis whose passwords change.

Used by url; every new connection asks the provider. Cloud providers' packages have such classes, and one of
your own takes two lines.
"""

from __future__ import annotations

import importlib
from typing import Any

from redis.credentials import CredentialProvider

from ...errors import Misconfigured

NAME = "PRESENCE_REDIS_CREDENTIALS"


def load_provider(path: str) -> CredentialProvider:
    """The provider at a dotted path: an instance, a class, or a function. Raises Misconfigured."""
    module, _, name = path.replace(":", ".").rpartition(".")
    try:
        found: Any = getattr(importlib.import_module(module), name)
        if isinstance(found, type) or not hasattr(found, "get_credentials"):
            found = found()
    except Exception as error:  # importing and calling somebody else's code may raise anything
        raise Misconfigured(f"{NAME}: {path} cannot be used: {type(error).__name__}: {error}") from error
    if not callable(getattr(found, "get_credentials", None)):
        raise Misconfigured(
            f"{NAME}: {path} is not a redis-py CredentialProvider: it has no get_credentials()"
        )
    if not hasattr(found, "get_credentials_async"):
        raise Misconfigured(
            f"{NAME}: {path} has no get_credentials_async(): derive it from CredentialProvider"
        )
    provider: CredentialProvider = found
    return provider
