"""Whether a Redis is fit to serve: at start, at every /readyz, and in full for `presence-svc doctor`."""
