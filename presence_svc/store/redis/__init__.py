"""The Redis client layer: the link, its connections, the wire format and the embedded server."""
