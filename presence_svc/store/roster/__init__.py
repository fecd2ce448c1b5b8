"""The roster: the named viewers of a course, page by page."""
