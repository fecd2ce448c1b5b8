"""The embedded server, as `serve` runs it."""
