"""The keys that verify tokens, each with the algorithms that it may be used for (RFC 8725, 3.1).

Made from a JWKS document, a PEM or a shared secret. Refuses private and symmetric keys where public keys are
expected, and RSA keys that are too short.
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
    """Allows only its own algorithms, and accepts unknown headers (Clerk's `cat`)."""

    max_header_length = 4_096

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError("the key is not for this algorithm")
        return self.algorithms[name]

    def check_header(self, header: Header) -> None:
        super().check_header(stated(header))


def stated(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Drops fields that are null: some issuers write null for every field that is absent."""
    return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key with its algorithms. `kid` is "" if it has none."""

    key: jwk.Key
    algorithms: tuple[str, ...]
    registry: Registry
    kid: str = ""


def signing_key(key: jwk.Key, algorithms: tuple[str, ...], kid: str = "") -> SigningKey:
    return SigningKey(key, algorithms, Registry(algorithms=algorithms, strict_check_header=False), kid)


def from_secret(secret: str) -> SigningKey:
    return signing_key(jwk.OctKey.import_key(secret), ("HS256",))


def from_pem(pem: str) -> SigningKey:
    """Raises ValueError for anything but a public key of a supported kind."""
    key = read_public_key(pem)
    return signing_key(key, _algorithms(key, None))


def from_jwks(document: Any) -> list[SigningKey]:
    """The first MAX_KEYS usable keys of a JWKS. Raises ValueError if it is not a JWKS."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a JWKS")
    usable = (_usable(entry) for entry in listed if isinstance(entry, dict))
    return list(islice(filter(None, usable), MAX_KEYS))


def _usable(entry: Mapping[str, Any]) -> SigningKey | None:
    """None if the key cannot verify tokens; that does not affect the other keys of the set."""
    stated_fields = stated(entry)
    kid, operations = stated_fields.get("kid", ""), stated_fields.get("key_ops", ["verify"])
    if not isinstance(kid, str) or not isinstance(operations, list) or "verify" not in operations:
        return None
    if (
        stated_fields.get("kty") not in ("RSA", "EC", "OKP")
        or stated_fields.get("use", "sig") != "sig"
        or "d" in stated_fields
    ):
        return None
    try:
        key = jwk.import_key(stated_fields, stated_fields["kty"])
        algorithms = _algorithms(key, stated_fields.get("alg"))
    except (ValueError, TypeError, KeyError, JoseError):
        return None
    return signing_key(key, algorithms, kid) if algorithms else None


def _algorithms(key: jwk.Key, named: Any) -> tuple[str, ...]:
    """The key's algorithms: the named one if it fits the key's kind, else the usual one. () = not usable."""
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
