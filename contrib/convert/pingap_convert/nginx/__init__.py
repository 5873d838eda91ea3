"""Converts nginx.conf."""
