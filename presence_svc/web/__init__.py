"""Everything that a browser or an HTTP client touches."""
