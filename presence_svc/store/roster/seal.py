"""Seals what clients carry for us and must neither read nor change. Used for roster cursors."""

from __future__ import annotations

import base64
import secrets
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ..shared import Shared

NONCE = 12  # bytes (RFC 8439, 2.8)


class Seal:
    """Under a key of the replicas' common secret: what one has sealed, each can open."""

    def __init__(self, shared: Shared, purpose: bytes) -> None:
        """`purpose` keeps what is sealed for one thing from being opened for another: 16 bytes at most."""
        self._shared = shared
        self._purpose = purpose

    def close(self, content: bytes, about: str) -> str:
        """`content` as a text for URLs; it opens for the same `about` (a course) only. Raises Unavailable."""
        nonce = secrets.token_bytes(NONCE)
        sealed = self._cipher().encrypt(nonce, content, about.encode())
        return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def open(self, text: str, about: str) -> bytes:
        """Raises ValueError for what was not sealed here, for this, with the secret of today; Unavailable."""
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        try:
            return self._cipher().decrypt(raw[:NONCE], raw[NONCE:], about.encode())
        except InvalidTag:
            raise ValueError("not sealed here") from None

    def _cipher(self) -> ChaCha20Poly1305:
        key = blake2b(key=self._shared.known_secret(), digest_size=32, person=self._purpose)
        return ChaCha20Poly1305(key.digest())
