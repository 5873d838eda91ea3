"""Formats of configuration files: text in, tables out. TOML is the core's own."""
