"""Compiled readers of plain HTTP/1.1 heads; used by ``pingap.protocol.readers`` if installed."""

from pingap_speedups._readers import read_plain_request, read_plain_response

__version__ = "0.1.0"
"""The version of pingap that these readers match; they are not used by others."""

__all__ = ["__version__", "read_plain_request", "read_plain_response"]
