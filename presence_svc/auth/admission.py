"""Turns credentials into a caller, and a caller and a body into a heartbeat that may be recorded.

Used by both paths of a heartbeat and by every route. It answers at once unless keys must be fetched: in
trusted mode (every caller may do everything, for the viewer in the body) and for tokens judged before.
Raises Unauthorized, Forbidden, Limited, Invalid or Unavailable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..errors import Forbidden, Unauthorized, Unavailable
from ..model import Heartbeat, Leave
from ..settings import Settings
from ..store.write import HeartbeatWrite
from .anonymous_ids import PREFIX, AnonymousIds
from .caller import PUBLIC, SERVICE, Caller, Role, TokenRefused
from .joins import Admitted, Joins, session_of
from .leave_token import LeaveTokens
from .rates import Pace, Rates
from .roles import Action, Permissions
from .subject import named, own, under_own_name, viewer_id_of
from .tokens import Tokens

# Unavailable counts too: forged tokens must be rate-limited also while keys cannot be fetched.
UNBELIEVED = (TokenRefused, Unavailable)


class Admission:
    """`tokens` is None in trusted mode, in which callers are not identified."""

    def __init__(
        self,
        settings: Settings,
        *,
        rates: Rates,
        joins: Joins,
        anonymous: AnonymousIds,
        leave_tokens: LeaveTokens,
        on_repair: Callable[[], object] = lambda: None,
    ) -> None:
        self.tokens = Tokens(settings, on_repair=on_repair) if settings.auth == "jwt" else None
        self.rates = rates
        self.permissions = Permissions(settings)
        self._names_from_body = settings.names_from_body
        self._joins, self._leave_tokens = joins, leave_tokens
        self._anonymous, self._has_anonymous = anonymous, settings.allow_anonymous

    def admit(self, authorization: bytes | None, peer: str, course_id: str, body: Heartbeat) -> Admitted:
        """Decides whose heartbeat this is and under which name it is recorded."""
        if self.tokens is None:
            return HeartbeatWrite(course_id, named(body), body)
        try:
            caller = self.caller(authorization)
        except UNBELIEVED:
            self.rates.unknown(peer)
            raise
        if isinstance(caller, Caller):
            return self._admit(caller, peer, course_id, body)
        return self._admit_later(caller, peer, course_id, body)

    def caller_of(self, authorization: bytes | None) -> Caller | None:
        """The caller whose heartbeats may be cached; None if this token was not judged before."""
        if self.tokens is None:
            return SERVICE
        return self.tokens.remembered(_token(authorization)) if authorization else None

    def pace_of(self, write: HeartbeatWrite) -> Pace | None:
        """The buckets for a viewer's heartbeats; None in trusted mode, or before the first heartbeat."""
        return None if self.tokens is None else self.rates.pace(session_of(write), write.viewer_id)

    def again(self, caller: Caller | None, pace: Pace | None) -> bool:
        """Whether a cached heartbeat with the same credentials may be repeated without judging it again.

        False if the verdict or the session has expired. Limits are applied as always: raises OverRate.
        """
        if self.tokens is None:
            return True
        if caller is None or not self.tokens.holds(caller):
            return False
        return self.rates.again(pace) if pace else caller.role is Role.SERVICE

    async def enter(self, authorization: bytes | None, peer: str, action: Action, *courses: str) -> Caller:
        """The caller, if the action is allowed in all courses. Rate limits apply except to services."""
        caller = await self.identify(authorization, peer)
        for course_id in courses or ("",):
            if refusal := self.permissions.refusal(caller, action, course_id):
                raise refusal
        return caller

    async def identify(self, authorization: bytes | None, peer: str) -> Caller:
        """The caller, after rate limits and before permissions."""
        if self.tokens is None:
            return SERVICE
        try:
            caller = await self._resolved(authorization)
        except UNBELIEVED:
            self.rates.unknown(peer)
            raise
        if caller.role is Role.PUBLIC:
            self.rates.unknown(peer)
        elif caller.role is not Role.SERVICE:
            self.rates.read(caller.subject)
        return caller

    async def leaver(self, authorization: bytes | None, peer: str, course_id: str, body: Leave) -> str:
        """The viewer whose session ends, judged by its leave token or by the caller's credentials."""
        if self.tokens is None:
            return named(body)
        if viewer_id := self._holder(course_id, body):
            self.rates.leave(hash((course_id, viewer_id, body.session_id)))
            return viewer_id
        caller = await self.enter(authorization, peer, Action.LEAVE)
        if caller.role is Role.PUBLIC:
            return self._anonymous.leaver(course_id, body, are_allowed=self._has_anonymous)
        return named(body) if caller.role is Role.SERVICE else own(caller, body.viewer_id)

    def _holder(self, course_id: str, body: Leave | Heartbeat) -> str:
        """The viewer to whom the leave token belongs, under either id that a page may use; "" = none."""
        token, name = body.leave_token, body.viewer_id
        for viewer_id in (name, viewer_id_of(name)) if token and name else ():
            if self._leave_tokens.holds(token or "", course_id, viewer_id, body.session_id):
                return viewer_id
        return ""

    def caller(self, authorization: bytes | None) -> Caller | Awaitable[Caller]:
        """The caller with these credentials."""
        if authorization is None or self.tokens is None:
            return PUBLIC if self.tokens else SERVICE
        return self.tokens.judge(_token(authorization))

    async def close(self) -> None:
        if self.tokens is not None:
            await self.tokens.keys.close()

    async def _resolved(self, authorization: bytes | None) -> Caller:
        caller = self.caller(authorization)
        return caller if isinstance(caller, Caller) else await caller

    async def _admit_later(
        self, caller: Awaitable[Caller], peer: str, course_id: str, body: Heartbeat
    ) -> HeartbeatWrite:
        try:
            known = await caller
        except UNBELIEVED:
            self.rates.unknown(peer)
            raise
        write = self._admit(known, peer, course_id, body)
        return write if isinstance(write, HeartbeatWrite) else await write

    def _admit(self, caller: Caller, peer: str, course_id: str, body: Heartbeat) -> Admitted:
        if caller.role is Role.SERVICE:
            return HeartbeatWrite(course_id, named(body), body)
        if caller.role is Role.CREATOR:
            self.rates.read(caller.subject)
            raise Forbidden("a creator's key can only read and identifies no viewer")
        if caller.role is Role.VIEWER:
            self._check_course(caller, course_id)
            previous = self._anonymous.previous(course_id, body.session_id) if self._has_anonymous else ""
            viewer_id = own(caller, body.viewer_id)
            write = HeartbeatWrite(
                course_id, viewer_id, under_own_name(caller, body, self._names_from_body), previous
            )
        else:
            write = self._without_token(peer, course_id, body)
        return self._in_limits(write, peer if caller.role is Role.PUBLIC else None)

    def _without_token(self, peer: str, course_id: str, body: Heartbeat) -> HeartbeatWrite:
        names_somebody = body.viewer_id is not None and not body.viewer_id.startswith(PREFIX)
        signed_out = self._holder(course_id, body) if self._has_anonymous else ""
        if not self._has_anonymous or (names_somebody and not body.anonymous and not signed_out):
            self.rates.unknown(peer)
            raise Unauthorized("a bearer token is needed")
        viewer_id = self._anonymous.of(course_id, body.session_id)
        unnamed = body.model_copy(update={"anonymous": True, "name": None, "avatar_url": None})
        return HeartbeatWrite(course_id, viewer_id, unnamed, signed_out if signed_out != viewer_id else "")

    def _check_course(self, caller: Caller, course_id: str) -> None:
        try:
            caller.check_course(course_id)
        except Forbidden:
            self.rates.viewer(caller.subject)
            raise

    def _in_limits(self, write: HeartbeatWrite, address: str | None) -> Admitted:
        """Applies the session's rate to a session known here, and the limits on joins to a new one."""
        if address is None:
            pace = self.pace_of(write)
            is_known = pace is not None and self.rates.again(pace)
        else:
            is_known = self.rates.again_without_token(session_of(write), address)
        return write if is_known else self._joins.admit(write, address)


def _token(authorization: bytes) -> bytes:
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() == b"bearer":
        return token.strip()
    raise TokenRefused("only bearer tokens are supported")
