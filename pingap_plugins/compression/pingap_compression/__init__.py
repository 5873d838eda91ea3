"""Compression of responses for pingap: what the distribution provides.

Decisions are made in modules without IO: ``accepted`` (what a client takes), ``media_types``,
``plans`` (what becomes of a response) and ``heads`` (its header fields). ``encoders`` and ``decoders`` of
``pingap_content`` do the work, ``filters`` lets bodies through them, and ``compression`` is the plugin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pingap import ContextKey, Plugin, hookimpl
from pingap_compression.accept_encoding import AcceptEncoding
from pingap_compression.compression import COMPRESSION_RATIO, COMPRESSION_TIME, Compression

_LEVELS = {"gzip_level": 6, "br_level": 6, "zstd_level": 6}


@hookimpl
def pingap_plugin_categories() -> Sequence[type[Plugin]]:
    """Name the categories ``compression`` and ``accept_encoding``."""
    return (Compression, AcceptEncoding)


@hookimpl
def pingap_instances() -> Mapping[str, Mapping[str, object]]:
    """Name the instances that pingap 0.13.9 has without a table (config.md, section 7)."""
    adjustment = {"encodings": "zstd, br, gzip", "only_one_encoding": True}
    return {
        "pingap:compression": {"category": "compression", **_LEVELS},
        "pingap:compressionUpstream": {"category": "compression", "mode": "upstream", **_LEVELS},
        "pingap:acceptEncodingAdjustment": {"category": "accept_encoding", **adjustment},
    }


@hookimpl
def pingap_context_keys() -> Sequence[ContextKey[Any]]:
    """Name the values of a request for access logs (observability.md 1.3)."""
    return (COMPRESSION_TIME, COMPRESSION_RATIO)
