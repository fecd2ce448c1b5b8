"""Requests below a proxy's path prefix (ROOT_PATH): with or without the prefix they are the same requests.

Used by web.dispatch. Our pages have only relative links, so that nothing else needs to know the prefix.
"""

from __future__ import annotations

from starlette.types import Scope, Send


def is_bare(scope: Scope, root: str) -> bool:
    """Whether this requests the prefix without a slash: relative links there would lead outside of it."""
    return scope["type"] == "http" and bool(scope["path"] == root)


def below(scope: Scope, root: str) -> Scope:
    """The scope without the prefix, as if the proxy had removed it."""
    path: str = scope["path"]
    if not path.startswith(f"{root}/"):
        return scope
    raw: bytes = scope.get("raw_path") or b""
    return {**scope, "path": path[len(root) :], "raw_path": raw.removeprefix(root.encode())}


async def redirect(root: str, send: Send) -> None:
    """Redirects to the prefix with a slash, on whatever host the client uses."""
    headers = [(b"location", f"{root}/".encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 307, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
