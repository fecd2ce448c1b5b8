"""How Redis is reached: the link, its connections, the wire format, the embedded server."""
