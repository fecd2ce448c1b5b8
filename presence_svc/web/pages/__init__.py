"""Pages and other files for browsers."""
