"""What a successful unsafe request makes invalid (RFC 9111, 4.4)."""

from __future__ import annotations

from typing import Final
from urllib.parse import urldefrag, urljoin, urlsplit

from pingap import Headers

SAFE: Final = frozenset(
    {"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "REPORT", "SEARCH"}
)
"""Methods that the registry calls safe; unknown ones are not (RFC 9110, 9.2.1; RFC 9111, 4.4)."""
_PORTS: Final = {"http": 80, "https": 443}


def invalidated(method: str, url: str, status: int, headers: Headers) -> list[str]:
    """Return the URLs whose stored responses are to be removed (RFC 9111, 4.4).

    That is the target, and what ``Location`` and ``Content-Location`` name if it is of the same origin.

    :param url: the target URI, absolute.
    :param status: of the response; errors make nothing invalid.
    :param headers: of the response.
    """
    if method in SAFE or not 200 <= status < 400:
        return []
    found = [url]
    for name in (b"location", b"content-location"):
        if (value := headers.find(name)) is not None:
            other = _same_origin(url, value.decode("latin-1"))
            if other is not None and other not in found:
                found.append(other)
    return found


def _same_origin(url: str, reference: str) -> str | None:
    """Resolve a reference; ``None`` if it is invalid or of another origin (RFC 6454, 4).

    Scheme and authority are written as in the URL, although the reference may have a default port or
    other letters.
    """
    try:
        other = urldefrag(urljoin(url, reference)).url
        same = _origin(other) == _origin(url)
        parts, own = urlsplit(other), urlsplit(url)
    except ValueError:
        return None
    if not same:
        return None
    query = f"?{parts.query}" if parts.query else ""
    return f"{own.scheme}://{own.netloc}{parts.path or '/'}{query}"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    port = parts.port if parts.port is not None else _PORTS.get(parts.scheme)
    return parts.scheme, parts.hostname, port
