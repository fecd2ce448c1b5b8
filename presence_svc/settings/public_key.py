"""Reads JWT_PUBLIC_KEY: at start to refuse a wrong one, in auth to verify with it. Never shows the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from joserfc.jwk import Key

RSA_BITS = 2_048
CURVES = ("P-256", "P-384", "P-521", "Ed25519")


def read_public_key(pem: str) -> Key:
    """The public key. Raises ValueError unless it is of a kind that auth.signing_key can use."""
    from joserfc import jwk  # loaded only when a key is set
    from joserfc.errors import JoseError

    for kind in (jwk.RSAKey, jwk.ECKey, jwk.OKPKey):
        try:
            key: Key = kind.import_key(pem)
        except (ValueError, TypeError, JoseError):
            continue
        if key.is_private:
            raise ValueError("holds a private key: it belongs to the issuer alone")
        if isinstance(key, jwk.RSAKey):
            is_usable = key.public_key.key_size >= RSA_BITS
        else:
            is_usable = getattr(key, "curve_name", None) in CURVES
        if is_usable:
            return key
    raise ValueError("is not an RSA (2048 bits or more), EC or Ed25519 key in PEM")
