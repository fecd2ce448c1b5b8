"""The exceptions of calls: ProblemError for what the service refuses, Unreachable for no answer."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from ..model import Problem


class ClientError(Exception):
    """The base of all errors of a valid call. An invalid id or field raises ValueError instead."""


class Unreachable(ClientError):
    """There was no complete answer by the deadline. The call may have been carried out."""


class ProblemError(ClientError):
    """The service refused the call. `status`, `title`, `detail`, `errors` and `type` are those of RFC 9457.

    `errors` has a pair for each invalid field: a JSON pointer, and what is wrong. `retry_after_s` is in
    seconds, None without Retry-After.
    """

    def __init__(self, problem: Problem, retry_after_s: float | None = None) -> None:
        super().__init__(f"{problem.status}: {problem.detail or problem.title}")
        self.problem = problem
        self.type = problem.type
        self.status = problem.status
        self.title = problem.title
        self.detail = problem.detail
        self.errors = [(each.get("pointer", ""), each.get("detail", "")) for each in problem.errors or ()]
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type[ProblemError], tuple[Problem, float | None]]:
        """Makes it picklable, as task queues pass exceptions between processes."""
        return type(self), (self.problem, self.retry_after_s)


def failure(status: int, headers: Mapping[str, str], content: bytes) -> ProblemError:
    """The error for an unsuccessful answer, which may also come from a proxy."""
    try:
        problem = Problem.model_validate_json(content)
    except ValidationError:
        detail = "this answer is not the service's: is the URL right?"
        problem = Problem(type="about:blank", title=f"HTTP {status}", status=status, detail=detail)
    return ProblemError(problem, _seconds(headers.get("retry-after", "")))


def _seconds(text: str) -> float | None:
    """Parses Retry-After in seconds, as the service sends it; None for a date, which a proxy may send."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
