"""`python -m tests.service serve`: the service, with a deadline for Redis that a busy machine does not miss.

Used by rig.Service. Users may set PRESENCE_REDIS_TIMEOUT to 0.45 s at most, since an answer within half a
second is promised. Tests of other rules would fail now and then by that promise, beside others on few cores.
Frames are noted down too (tests.frame_log).
"""

from __future__ import annotations

from annotated_types import Gt

from presence_svc.cli import main
from presence_svc.settings import Settings
from tests import frame_log  # noqa: F401 - imported for what it does, here and in worker processes

# Worker processes import this module too, before they read their settings.
Settings.model_fields["redis_timeout"].metadata = [Gt(0)]
Settings.model_rebuild(force=True)

if __name__ == "__main__":
    main()
