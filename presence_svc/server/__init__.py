"""uvicorn's protocols and what we add to them: deadlines, size limits, the fast path, streams, sockets."""
