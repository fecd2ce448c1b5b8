"""Everything that touches Redis data."""
