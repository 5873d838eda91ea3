"""The client for side calls: requests that a plugin makes to another service.

Built on httpcore, which is loaded on first use. Proxied requests do not use it.
"""

from pingap.client.client import HTTPClient, SideCallResponse, http_client
from pingap.client.errors import SideCallError
from pingap.client.stream import SideCallStream
from pingap.client.tls import ClientTLS

__all__ = [
    "ClientTLS",
    "HTTPClient",
    "SideCallError",
    "SideCallResponse",
    "SideCallStream",
    "http_client",
]
