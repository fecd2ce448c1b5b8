"""Encrypts what clients keep for us and must neither read nor change. Used for roster cursors."""

from __future__ import annotations

import base64
import secrets
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ..shared import Shared

NONCE = 12  # bytes (RFC 8439, 2.8)


class Seal:
    """Uses a key derived from the replicas' common secret, so that every replica can decrypt."""

    def __init__(self, shared: Shared, purpose: bytes) -> None:
        """`purpose` (at most 16 bytes) separates uses: a text for one cannot be decrypted for another."""
        self._shared = shared
        self._purpose = purpose

    def close(self, content: bytes, about: str) -> str:
        """Encrypts `content` to URL-safe text that is bound to `about` (a course). Raises Unavailable."""
        nonce = secrets.token_bytes(NONCE)
        sealed = self._cipher().encrypt(nonce, content, about.encode())
        return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def open(self, text: str, about: str) -> bytes:
        """Decrypts. Raises ValueError if `text` is not for `about` or by the current secret; Unavailable."""
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        try:
            return self._cipher().decrypt(raw[:NONCE], raw[NONCE:], about.encode())
        except InvalidTag:
            raise ValueError("not sealed here") from None

    def _cipher(self) -> ChaCha20Poly1305:
        key = blake2b(key=self._shared.known_secret(), digest_size=32, person=self._purpose)
        return ChaCha20Poly1305(key.digest())
