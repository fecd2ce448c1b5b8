"""Everything that reads or writes data in Redis."""
