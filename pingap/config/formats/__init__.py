"""Formats of configuration files: from text to tables. TOML is built in."""
