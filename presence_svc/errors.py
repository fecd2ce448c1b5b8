"""The errors that any package may raise and web turns into problem+json."""


class PresenceError(Exception):
    """Base of this package's own errors. `detail` may be shown to a client; `retry_after_s` is in seconds."""

    status = 500
    title = "Internal error"

    def __init__(self, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class Unavailable(PresenceError):
    """Redis is away, or the queue in front of it is full: ask again after `retry_after_s`."""

    status = 503
    title = "Service unavailable"

    def __init__(self, detail: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class Away(Unavailable):
    """Nothing is heard of Redis, or it serves nobody now: known before anything was sent."""


class Overloaded(Unavailable):
    """Our own callers are too many at once: Redis may be well."""


class BadRequest(PresenceError):
    """The request cannot be read: not JSON, or no body at all."""

    status = 400
    title = "Bad request"


class Unauthorized(PresenceError):
    """No credentials, or invalid ones."""

    status = 401
    title = "Unauthorized"


class Forbidden(PresenceError):
    """The caller is known and may not do this."""

    status = 403
    title = "Forbidden"


class NotFound(PresenceError):
    """There is no such thing here, also because a setting has turned it off."""

    status = 404
    title = "Not found"


class TooSlow(PresenceError):
    """The request, or a socket's first message, did not arrive within its deadline."""

    status = 408
    title = "Request timeout"


class TooLarge(PresenceError):
    """The body is larger than allowed; it was not read to its end."""

    status = 413
    title = "Content too large"


class Unsupported(PresenceError):
    """The route does not read the body's media type."""

    status = 415
    title = "Unsupported media type"


class Encoded(Unsupported):
    """The body is compressed, which no route undoes."""


class Invalid(PresenceError):
    """Fields are wrong. `errors` has a pair for each: a JSON pointer, and what is wrong there."""

    status = 422
    title = "Invalid input"

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{pointer}: {detail}" for pointer, detail in errors))
        self.errors = errors


class UpgradeRequired(PresenceError):
    """The route speaks WebSocket and the request does not."""

    status = 426
    title = "Upgrade required"


class HeadTooLarge(PresenceError):
    """The request line and the headers are larger than allowed."""

    status = 431
    title = "Request header fields too large"


class Limited(PresenceError):
    """A limit was reached: sessions per viewer, chapters per course, streams, rates."""

    status = 429
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class Misconfigured(PresenceError):
    """The settings contradict each other, or something they name is missing. Shown at start."""
