"""Keys that tokens are verified with, each with the algorithms that it may be used for (RFC 8725, 3.1).

Made from a JWKS document, a PEM or a shared secret. Refuses private and symmetric keys where public ones
belong, and RSA keys that are too short.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from joserfc import jwk
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry
from joserfc.registry import Header

from ..settings.public_key import RSA_BITS, read_public_key

MAX_KEYS = 100
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
EC_ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
EDWARDS = ("EdDSA", "Ed25519")  # the same thing, before and after RFC 9864


class Registry(JWSRegistry):
    """Lets nothing but its own algorithms through, and headers that it does not know (Clerk's `cat`)."""

    max_header_length = 4_096

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError("the key is not for this algorithm")
        return self.algorithms[name]

    def check_header(self, header: Header) -> None:
        super().check_header(stated(header))


def stated(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that are null: some issuers write every member that they know, as if it were absent."""
    return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key with what it may be used for. `kid` is "" for a key that has none."""

    key: jwk.Key
    algorithms: tuple[str, ...]
    registry: Registry
    kid: str = ""


def signing_key(key: jwk.Key, algorithms: tuple[str, ...], kid: str = "") -> SigningKey:
    return SigningKey(key, algorithms, Registry(algorithms=algorithms, strict_check_header=False), kid)


def from_secret(secret: str) -> SigningKey:
    return signing_key(jwk.OctKey.import_key(secret), ("HS256",))


def from_pem(pem: str) -> SigningKey:
    """Raises ValueError for anything but a public key of a kind that we know."""
    key = read_public_key(pem)
    return signing_key(key, _algorithms(key, None))


def from_jwks(document: Any) -> list[SigningKey]:
    """The first MAX_KEYS usable keys of a JWKS. Raises ValueError when it is no JWKS at all."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a JWKS")
    usable = (_usable(entry) for entry in listed if isinstance(entry, dict))
    return list(islice(filter(None, usable), MAX_KEYS))


def _usable(entry: Mapping[str, Any]) -> SigningKey | None:
    """None for what cannot verify a token: the others of the set are good all the same."""
    said = stated(entry)
    kid, operations = said.get("kid", ""), said.get("key_ops", ["verify"])
    if not isinstance(kid, str) or not isinstance(operations, list) or "verify" not in operations:
        return None
    if said.get("kty") not in ("RSA", "EC", "OKP") or said.get("use", "sig") != "sig" or "d" in said:
        return None
    try:
        key = jwk.import_key(said, said["kty"])
        algorithms = _algorithms(key, said.get("alg"))
    except (ValueError, TypeError, KeyError, JoseError):
        return None
    return signing_key(key, algorithms, kid) if algorithms else None


def _algorithms(key: jwk.Key, named: Any) -> tuple[str, ...]:
    """What this key is for: what its owner says, if that fits its kind, else the usual. () = not usable."""
    possible: tuple[str, ...] = ()
    if isinstance(key, jwk.RSAKey) and key.public_key.key_size >= RSA_BITS:
        possible = RSA_ALGORITHMS
    elif isinstance(key, jwk.ECKey) and key.curve_name in EC_ALGORITHMS:
        possible = (EC_ALGORITHMS[key.curve_name],)
    elif isinstance(key, jwk.OKPKey) and key.curve_name == "Ed25519":
        return EDWARDS if named in (None, *EDWARDS) else ()
    if named is None:
        return possible[:1]
    return (named,) if named in possible else ()
