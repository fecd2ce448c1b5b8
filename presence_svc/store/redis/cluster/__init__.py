"""The way to a Redis Cluster: which node has what, and how commands get there."""
