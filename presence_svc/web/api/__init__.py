"""The HTTP API: its routes and their description."""
