"""Distinct viewers over all courses: their count, and the repair of the index it is counted from."""
