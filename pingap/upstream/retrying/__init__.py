"""Decides whether a failed attempt is repeated, within a budget."""
