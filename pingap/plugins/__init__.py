"""The plugin framework: the base class, the registry, chains of hooks, and what runs plugin code safely."""
