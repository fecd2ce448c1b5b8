"""Who calls, and what they may do: admission.py decides by roles.py. Only this package sees credentials."""

from .leave_token import LeaveTokens

__all__ = ["LeaveTokens"]
