"""Connections to upstreams, and the pools that keep them."""
