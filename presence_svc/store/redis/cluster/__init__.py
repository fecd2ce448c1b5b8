"""The link to a Redis Cluster: which node owns which slots, and how commands are routed."""
