"""Storages of the configuration: where its texts are kept. Files are the core's own."""
