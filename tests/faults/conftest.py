"""What fails on purpose here fails by the deadlines that users have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import rig


@pytest.fixture(scope="module", autouse=True)
def shipped_deadline() -> Iterator[None]:
    """Services that start here have the default deadline for Redis."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig, "PATIENT", rig.SHIPPED)
        yield
