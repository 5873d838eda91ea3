"""The client for side calls: requests that a plugin makes to another service.

Built on httpcore, loaded on first use. Requests that are proxied do not come this way.
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
