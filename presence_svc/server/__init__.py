"""uvicorn's protocols and what we add to them: deadlines, sizes, the heartbeat's fast path, streams."""
