"""The distributions of this project, and which of them provides each category, key and other feature."""

from __future__ import annotations

from typing import Final

RELEASED: Final = frozenset(
    {
        "pingap-acme",
        "pingap-asgi",
        "pingap-auth",
        "pingap-basics",
        "pingap-cache",
        "pingap-compression",
        "pingap-content",
        "pingap-convert",
        "pingap-dns",
        "pingap-docker",
        "pingap-etcd",
        "pingap-formats",
        "pingap-grpc-web",
        "pingap-image-optim",
        "pingap-limit",
        "pingap-pages",
        "pingap-restriction",
        "pingap-rewrite",
        "pingap-traffic",
        "pingap-static",
    }
)
"""The distributions that this release contains."""

CATEGORIES: Final = {
    "ping": "pingap-basics",
    "mock": "pingap-basics",
    "request_id": "pingap-basics",
    "response_headers": "pingap-basics",
    "security_headers": "pingap-basics",
    "redirect": "pingap-basics",
    "stats": "pingap-basics",
    "sub_filter": "pingap-rewrite",
    "json_transform": "pingap-rewrite",
    "mount": "pingap-rewrite",
    "cache": "pingap-cache",
    "compression": "pingap-compression",
    "accept_encoding": "pingap-compression",
    "basic_auth": "pingap-auth",
    "key_auth": "pingap-auth",
    "jwt": "pingap-auth",
    "combined_auth": "pingap-auth",
    "forward_auth": "pingap-auth",
    "csrf": "pingap-auth",
    "mtls": "pingap-auth",
    "oidc": "pingap-auth",
    "ip_restriction": "pingap-restriction",
    "referer_restriction": "pingap-restriction",
    "ua_restriction": "pingap-restriction",
    "geo_restriction": "pingap-restriction",
    "cors": "pingap-restriction",
    "method_restriction": "pingap-restriction",
    "header_restriction": "pingap-restriction",
    "limit": "pingap-limit",
    "traffic_splitting": "pingap-traffic",
    "canary": "pingap-traffic",
    "mirror": "pingap-traffic",
    "fault": "pingap-traffic",
    "directory": "pingap-static",
    "maintenance_mode": "pingap-pages",
    "image_optim": "pingap-image-optim",
    "admin": "pingap-admin",
}
"""Category of plugins -> the distribution that provides it."""

DISCOVERIES: Final = {"dns": "pingap-dns", "docker": "pingap-docker"}
"""Kind of discovery outside of the core -> the distribution that provides it."""

LOCATION_KEYS: Final = {
    "rewrite": "pingap-rewrite",
    "grpc_web": "pingap-grpc-web",
    "asgi": "pingap-asgi",
    "error_pages": "pingap-pages",
    "intercept_errors": "pingap-pages",
    "internal_redirect": "pingap-static",
}
"""Key of locations -> the distribution that provides it."""

CERTIFICATE_KEYS: Final = dict.fromkeys(
    ("acme", "dns_challenge", "dns_provider", "dns_service_url"), "pingap-acme"
)
"""Key of certificates -> the distribution that provides it."""

STORAGES: Final = {"docker": "pingap-docker", "etcd": "pingap-etcd"}
"""Scheme of ``-c`` -> the distribution that provides it."""

FORMATS: Final = {"hcl": "pingap-formats", "kdl": "pingap-formats"}
"""Suffix of configuration files -> the distribution that provides the format."""

INSTANCES: Final = {
    "pingap:compression": "pingap-compression",
    "pingap:securityHeaders": "pingap-basics",
    "pingap:compressionUpstream": "pingap-compression",
    "pingap:acceptEncodingAdjustment": "pingap-compression",
    "pingap:admin": "pingap-admin",
}
"""Built-in plugin instance outside of the core -> the distribution that provides it."""


def needs(distribution: str) -> str:
    """Return the hint for a distribution that is not installed.

    It shows no install command, because the project has not published any package yet.
    """
    if distribution in RELEASED:
        return (
            f"needs the distribution {distribution}, which is part of this release: install it, too"
        )
    return f"needs the distribution {distribution}, which this release does not contain yet"
