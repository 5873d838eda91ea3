"""Decides what may be cached between requests: only data that cannot contain a credential.

Credentials are sent under names that cannot be listed completely (``X-Vault-Token``, ``Private-Token``, ...),
so the harmless names are listed. Everything else is read, passed on, and not cached.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MOST_REMEMBERED: Final = 4096
"""Number of cached lines of one kind; if there are more, all are dropped."""
LONGEST_REMEMBERED: Final = 256
"""Maximum size of a cached line."""

_REQUESTS: Final = b"""
accept accept-charset accept-encoding accept-language access-control-request-headers
access-control-request-method cache-control connection content-encoding content-language
content-length content-type date dnt expect host if-match if-modified-since if-none-match if-range
if-unmodified-since keep-alive max-forwards origin pragma priority range save-data sec-ch-ua
sec-ch-ua-arch sec-ch-ua-full-version-list sec-ch-ua-mobile sec-ch-ua-model sec-ch-ua-platform
sec-ch-ua-platform-version sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-gpc
sec-websocket-extensions sec-websocket-version te trailer transfer-encoding upgrade
upgrade-insecure-requests user-agent x-forwarded-port x-forwarded-proto x-requested-with
"""
_RESPONSES: Final = b"""
accept-ranges access-control-allow-credentials access-control-allow-headers
access-control-allow-methods access-control-allow-origin access-control-expose-headers
access-control-max-age age allow alt-svc content-range cross-origin-embedder-policy
cross-origin-opener-policy cross-origin-resource-policy etag expires last-modified
permissions-policy referrer-policy retry-after server strict-transport-security
timing-allow-origin vary via warning x-content-type-options x-frame-options x-powered-by
x-served-by x-xss-protection
"""
_GRPC: Final = b"""
grpc-accept-encoding grpc-encoding grpc-status grpc-timeout
"""

HARMLESS: Final = frozenset((_REQUESTS + _RESPONSES + _GRPC).split())
"""Names, in lower case, of fields whose values are not credentials."""

_PLAIN_TARGET: Final = re.compile(r"(?:/[A-Za-z0-9._-]{0,16})+")
"""Short segments: keys in paths (of bots, webhooks, password resets) are longer."""
_SECRET_WORD: Final = re.compile(
    r"auth|confirm|credential|invit|jwt|key|login|magic|passw|reset|secret|session|signature|token"
    r"|unsubscribe|verif",
    re.IGNORECASE,
)


def may_remember_target(target: str) -> bool:
    """Return whether a request target may be cached: a path of short, ordinary segments.

    Targets with a query are not: queries can contain tokens, and they seldom repeat.
    """
    return _PLAIN_TARGET.fullmatch(target) is not None and _SECRET_WORD.search(target) is None


def is_harmless(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a header list of HTTP/2 may be cached as a whole."""
    for name, value in fields:
        if name == b":path":
            if not may_remember_target(value.decode("latin-1")):
                return False
        elif name not in HARMLESS and name[:1] != b":":
            return False
    return True
