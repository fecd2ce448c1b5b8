"""A token issuer for tests: its keys, its key server on a real loopback port, and tokens good and bad."""

from __future__ import annotations

import json
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from joserfc import jwk, jwt
from joserfc.jws import JWSRegistry

ISSUER = "https://issuer.example"
AUDIENCE = "presence"


@cache
def rsa_key(kid: str) -> jwk.RSAKey:
    """Made once per kid and run: a key takes a tenth of a second."""
    return jwk.RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


class Issuer:
    """Publishes `keys` at `url`; the key server answers with `status`, and counts its `fetches`."""

    def __init__(self) -> None:
        self.keys: dict[str, jwk.RSAKey | jwk.ECKey | jwk.OKPKey] = {}
        self.status = 200
        self.fetches = 0
        self.delay_s = 0.0
        self.rotate("k1")
        handler = type("Handler", (_Handler,), {"issuer": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    @property
    def env(self) -> dict[str, str]:
        """The settings of a service that believes this issuer."""
        return {
            "PRESENCE_AUTH": "jwt",
            "PRESENCE_JWT_JWKS_URL": self.url,
            "PRESENCE_JWT_ISSUER": ISSUER,
            "PRESENCE_JWT_AUDIENCE": AUDIENCE,
        }

    def rotate(self, kid: str, *, keep: bool = False) -> None:
        """Signs with a new key from now on; the old ones stay published only when kept."""
        if not keep:
            self.keys.clear()
        self.keys[kid] = rsa_key(kid)

    def document(self) -> bytes:
        return json.dumps({"keys": [key.as_dict(private=False) for key in self.keys.values()]}).encode()

    def token(
        self,
        sub: str | None = "u1",
        *,
        header: dict[str, Any] | None = None,
        key: jwk.Key | None = None,
        lasts_s: float = 300,
        **claims: Any,
    ) -> str:
        """A good token, but for what is overridden; a claim of None is left out."""
        kid, own = list(self.keys.items())[-1]
        now = time.time()
        said = {"iss": ISSUER, "aud": AUDIENCE, "sub": sub, "iat": int(now), "exp": now + lasts_s, **claims}
        head = {"alg": "RS256", "kid": kid, **(header or {})}
        body = {name: value for name, value in said.items() if value is not None}
        lenient = JWSRegistry(algorithms=[head["alg"]], strict_check_header=False)
        return jwt.encode(head, body, key or own, registry=lenient)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    issuer: Issuer

    def do_GET(self) -> None:
        self.issuer.fetches += 1
        time.sleep(self.issuer.delay_s)
        body = self.issuer.document() if self.issuer.status == 200 else b"{}"
        self.send_response(self.issuer.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
