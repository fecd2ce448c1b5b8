"""Distinct viewers over all courses: counted, and their books mended."""
