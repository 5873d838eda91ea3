"""Updates the peers of upstreams with the results of discovery."""
