"""Storages, which keep the texts of the configuration. Files are built in."""
