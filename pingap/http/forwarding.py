"""Reads the client, scheme, host and port of a request from the forwarded headers of proxies, without IO.

Both families are read: ``X-Forwarded-For``, ``-Proto``, ``-Host``, ``-Port`` with ``X-Real-IP``, and
``Forwarded`` (RFC 7239). The caller decides whether the peer is trusted. A proxy appends to the list it
received, so lists are read from their right end, up to the last trusted proxy: the members before it
may be forged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pingap.http.errors import BadRequest
from pingap.http.headers import Headers
from pingap.http.hosts import parse_host
from pingap.http.networks import IpAddress, parse_node

MOST_HOPS: Final = 32
"""Members of a forwarded header that are read, from the right."""

Family: TypeAlias = Literal["any", "x-forwarded", "forwarded"]
"""Which headers trusted proxies write. ``any``: ``Forwarded`` is used if there is none of the others."""
Trusts: TypeAlias = Callable[[IpAddress], bool]

FORWARDED: Final = b"forwarded"
_FOR: Final = b"x-forwarded-for"
_PROTO: Final = b"x-forwarded-proto"
_HOST: Final = b"x-forwarded-host"
_PORT: Final = b"x-forwarded-port"
_REAL_IP: Final = b"x-real-ip"
LEGACY: Final = frozenset((_FOR, _PROTO, _HOST, _PORT, _REAL_IP))

_PORT_OF_HOST: Final = re.compile(rb":([0-9]+)$")
_SCHEMES: Final = ("http", "https")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
# A parameter of Forwarded (RFC 7239, 4). Addresses with colons must be quoted, but often are not.
_PARAMETER: Final = re.compile(
    r'[ \t]*([!#$%&\'*+\-.^_`|~0-9A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",; \t\\]*))[ \t]*(?:;|$)'
)
_ESCAPE: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Told:
    """The forwarded values of a request; empty if absent or invalid.

    :param client: address of the client.
    :param scheme: ``http`` or ``https``.
    :param host: without port; an IPv6 literal keeps its brackets.
    :param hops: value for ``X-Forwarded-For``: the hops before the peer.
    :param forwarded: the list of ``Forwarded`` as received, if that header was used.
    """

    client: str = ""
    scheme: str = ""
    host: str = ""
    port: str = ""
    hops: str = ""
    forwarded: str = ""


NOTHING: Final = Told()


def read(headers: Headers, trusts: Trusts, family: Family = "any") -> Told:
    """Read the forwarded headers of a trusted peer.

    :param trusts: returns whether a hop is a trusted proxy.
    """
    keys = headers.keys
    if family != "forwarded" and not LEGACY.isdisjoint(keys):
        return _read_legacy(headers, trusts)
    if family != "x-forwarded" and FORWARDED in keys:
        return _read_forwarded(headers, trusts)
    return NOTHING


def members(headers: Headers, key: bytes) -> Iterator[str]:
    """Yield the members of a list from right to left; empty ones are skipped (RFC 9110, 5.6.1)."""
    text = b",".join(headers.find_all(key)).decode("latin-1")
    pieces = text.rsplit(",", MOST_HOPS)
    if len(pieces) > MOST_HOPS:
        del pieces[0]
    return (stripped for piece in reversed(pieces) if (stripped := piece.strip(" \t")))


def _read_legacy(headers: Headers, trusts: Trusts) -> Told:
    scheme = next(members(headers, _PROTO), "").lower()
    scheme = scheme if scheme in _SCHEMES else ""
    host, port_of_host = _read_host(next(members(headers, _HOST), ""))
    port = _read_port(next(members(headers, _PORT), "")) or port_of_host
    return Told(
        _find_client(headers, trusts),
        scheme,
        host,
        port or _port_of(scheme, host, headers),
        ", ".join(value.decode("latin-1") for value in headers.find_all(_FOR)),
    )


def _find_client(headers: Headers, trusts: Trusts) -> str:
    client = ""
    for hop in members(headers, _FOR):
        address = parse_node(hop)
        if address is None:
            return ""
        client = str(address)
        if not trusts(address):
            return client
    real = parse_node(next(members(headers, _REAL_IP), ""))
    return client if real is None else str(real)


def _read_forwarded(headers: Headers, trusts: Trusts) -> Told:
    client, element = "", dict[str, str]()
    for text in members(headers, FORWARDED):
        found = parse_element(text)
        if found is None:
            break
        element = found
        address = parse_node(element.get("for", ""))
        client = "" if address is None else str(address)
        if address is None or not trusts(address):
            break
    scheme = element.get("proto", "").lower()
    scheme = scheme if scheme in _SCHEMES else ""
    host, port = _read_host(element.get("host", ""))
    whole = ", ".join(value.decode("latin-1") for value in headers.find_all(FORWARDED))
    return Told(client, scheme, host, port or _port_of(scheme, host, headers), client, whole)


def parse_element(text: str) -> dict[str, str] | None:
    """Return the parameters of an element of ``Forwarded``, with names in lower case.

    :returns: None if it is malformed or repeats a parameter.
    """
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None or (name := match[1].lower()) in found:
            return None
        quoted = match[2]
        found[name] = match[3] if quoted is None else _ESCAPE.sub(r"\1", quoted)
        at = match.end()
    return found


def _read_host(text: str) -> tuple[str, str]:
    value = text.encode("latin-1")
    try:
        host = parse_host(value)
    except BadRequest:
        return "", ""
    port = _PORT_OF_HOST.search(value)
    return host, _read_port(port[1].decode("ascii")) if port else ""


def _read_port(text: str) -> str:
    return text if text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536 else ""


def _port_of(scheme: str, host: str, headers: Headers) -> str:
    """Return the port that the client used, for a proxy that forwarded the scheme but no port.

    :param host: the forwarded host; empty if ``Host`` is the client's.
    """
    if not scheme:
        return ""
    port = "" if host else _read_host((headers.find(b"host") or b"").decode("latin-1"))[1]
    return port or _DEFAULT_PORTS[scheme]


def element(client: str, host: str, scheme: str) -> str:
    """Return an element of ``Forwarded`` (RFC 7239, 4).

    :param client: an address; empty for a peer without one.
    :param host: as in ``Host``; empty without one.
    """
    node = client or "unknown"
    if ":" in node:
        node = f'"[{node}]"'
    said = f'host="{host}";' if host else ""
    return f"for={node};{said}proto={scheme}"
