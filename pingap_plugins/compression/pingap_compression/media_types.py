"""Which kinds of content become smaller by compression."""

from __future__ import annotations

from typing import Final

DEFAULT_TYPES: Final = (
    "text/*",
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/javascript",
    "application/x-javascript",
    "application/xml",
    "application/*+xml",
    "application/wasm",
    "application/yaml",
    "application/toml",
    "application/sql",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/svg+xml",
    "image/bmp",
    "image/x-icon",
    "image/vnd.microsoft.icon",
    "model/*+json",
)
"""What is text, or as repetitive as text. (WOFF, JPEG, video and archives are compressed already.)"""
