"""What a call of the service may raise: its problems as it tells them, and silence."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from ..model import Problem


class ClientError(Exception):
    """Whatever went wrong with a call that was valid. A value that can be no id raises ValueError instead."""


class Unreachable(ClientError):
    """No answer, or not a whole one, by the deadline. The call may have been carried out."""


class ProblemError(ClientError):
    """The service refused. `status`, `title`, `detail`, `errors` and `type` are those of RFC 9457.

    `errors` has a pair for each wrong field: a JSON pointer, and what is wrong there. `retry_after_s` is in
    seconds, None when nothing was said.
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
        """Task queues carry exceptions from one process to another."""
        return type(self), (self.problem, self.retry_after_s)


def failure(status: int, headers: Mapping[str, str], content: bytes) -> ProblemError:
    """What an answer says that is no success, also one by a proxy in words of its own."""
    try:
        problem = Problem.model_validate_json(content)
    except ValidationError:
        detail = "an answer that is not the service's: is the address right?"
        problem = Problem(type="about:blank", title=f"HTTP {status}", status=status, detail=detail)
    return ProblemError(problem, _seconds(headers.get("retry-after", "")))


def _seconds(text: str) -> float | None:
    """The service says whole seconds; a date, which others may say, is not waited for."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
