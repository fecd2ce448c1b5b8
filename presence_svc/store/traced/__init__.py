"""Group commit and link with spans for tracing: imported only with PRESENCE_OTEL=on."""
