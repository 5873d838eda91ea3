"""Keeping the peers of an upstream as discovery finds them."""
