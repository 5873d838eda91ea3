"""Plugins that decide who may pass: one module for each category, and what they share.

``guard`` is their common base: it refuses, delays and counts. Nothing is imported here: pingap loads only
the plugins that a configuration names.
"""
