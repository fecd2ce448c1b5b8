"""What a refusal tells: the service's own words, in a process far away too."""

from __future__ import annotations

import pickle

from presence_svc.client.failure import failure

BODY = b'{"type":"urn:presence:invalid","title":"Invalid input","status":422,"detail":"/tz: no",' \
       b'"errors":[{"pointer":"/tz","detail":"no"}]}'  # fmt: skip


def test_it_has_the_fields_of_the_problem() -> None:
    """Status, title, detail, each wrong field, and when to come back."""
    refused = failure(422, {"retry-after": "7"}, BODY)

    assert (refused.status, refused.title, refused.detail) == (422, "Invalid input", "/tz: no")
    assert refused.errors == [("/tz", "no")]
    assert refused.retry_after_s == 7


def test_it_can_be_sent() -> None:
    """A task queue carries it from worker to caller with all that it says."""
    refused = pickle.loads(pickle.dumps(failure(422, {"retry-after": "7"}, BODY)))  # noqa: S301 - our own

    assert (refused.status, refused.errors, refused.retry_after_s) == (422, [("/tz", "no")], 7)
    assert str(refused) == "422: /tz: no"
