"""Requests below a path of a proxy's (ROOT_PATH): with or without that path, they are the same requests.

Used by web.dispatch. What we answer has relative links only, so that nothing else needs to know the path.
"""

from __future__ import annotations

from starlette.types import Scope, Send


def is_bare(scope: Scope, root: str) -> bool:
    """Whether this asks for the path itself, from where relative links would lead outside of it."""
    return scope["type"] == "http" and bool(scope["path"] == root)


def below(scope: Scope, root: str) -> Scope:
    """The scope as if the proxy had taken its path away."""
    path: str = scope["path"]
    if not path.startswith(f"{root}/"):
        return scope
    raw: bytes = scope.get("raw_path") or b""
    return {**scope, "path": path[len(root) :], "raw_path": raw.removeprefix(root.encode())}


async def redirect(root: str, send: Send) -> None:
    """To the path with its slash, on whatever host the client knows."""
    headers = [(b"location", f"{root}/".encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 307, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
