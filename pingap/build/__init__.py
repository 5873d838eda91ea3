"""Builds the runtime graph from the configuration; the only package that imports all the others."""
