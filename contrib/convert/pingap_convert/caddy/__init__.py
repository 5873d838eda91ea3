"""Converts Caddyfiles."""
