"""Who calls, and what they may do: admission.py decides by roles.py. Nothing else looks at credentials."""

from .leave_token import LeaveTokens

__all__ = ["LeaveTokens"]
