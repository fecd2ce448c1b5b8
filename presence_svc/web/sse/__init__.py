"""Server-sent events: counts as they change."""
