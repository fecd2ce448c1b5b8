"""Fixtures of the auth room: a service that asks for tokens, its issuer, and a client."""

from tests.auth.guarded import http, issuer, service

__all__ = ["http", "issuer", "service"]
