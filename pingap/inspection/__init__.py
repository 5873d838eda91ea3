"""Examines a configuration without serving it: for the commands and, later, pages.

Each module answers one question about a built ``Runtime`` (or an installed ``Registry``) and returns plain
plain data. Nothing here prints, and nothing sends a request.
"""
