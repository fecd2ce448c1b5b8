"""The files that browsers load."""
