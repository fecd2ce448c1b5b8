"""The way to Redis with spans: used with PRESENCE_OTEL=on, and imported only then."""
