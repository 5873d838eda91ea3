"""Plain heads of HTTP/1.1, read by compiled code; ``pingap.protocol.readers`` uses it if it is there."""

from pingap_speedups._readers import read_plain_request, read_plain_response

__version__ = "0.1.0"
"""That of the pingap whose rules these are: no other one uses them."""

__all__ = ["__version__", "read_plain_request", "read_plain_response"]
