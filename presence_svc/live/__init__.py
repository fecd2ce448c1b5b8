"""What runs by itself in every replica: the pub/sub reader, the local fan-out, the sweeper."""
