"""Checks of a Redis: at start, for readiness, and for `presence-svc doctor`."""
