"""The background tasks of every replica: pub/sub, the local fan-out, the sweeper, the renewer."""
