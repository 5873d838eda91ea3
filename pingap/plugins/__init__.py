"""The plugin framework: the base class, the registry, chains of hooks, and safe execution of plugin code."""
