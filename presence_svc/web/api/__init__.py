"""The plain HTTP routes and their description."""
