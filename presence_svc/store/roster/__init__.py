"""Who is in a course, by name, page by page."""
