"""Live-viewer presence: who is watching which course and chapter, now, exactly."""

__version__ = "0.1.0"
