"""The health of peers: from health checks, and from the results of requests."""
