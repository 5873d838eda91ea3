"""Placeholder until the reader exists."""

from __future__ import annotations

from pathlib import Path

from pingap_convert.result import Result


def convert_caddyfile(path: Path, result: Result) -> None:
    """Add the configuration of a file."""
    raise NotImplementedError
