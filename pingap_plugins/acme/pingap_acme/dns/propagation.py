"""Whether everybody sees a record: the servers of its zone are asked themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import dns.exception
import dns.message
import dns.nameserver
import dns.query
import dns.rdatatype
import dns.resolver

from pingap_acme.dns.provider import DnsError

PROPAGATION_SECONDS: Final = 300.0
"""How long the servers of a zone may take to show a record."""
_PAUSE: Final = 2.0
_QUERY_SECONDS: Final = 5.0
_MOST_ALIASES: Final = 8


def resolver_of(servers: Sequence[str]) -> dns.resolver.Resolver:
    """Return a resolver that asks some servers, or those of the system.

    :param servers: ``address`` or ``address:port``.
    :raises ValueError: one of them is neither.
    """
    if not servers:
        return dns.resolver.get_default_resolver()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = list(map(_name_server, servers))
    return resolver


def _name_server(text: str) -> dns.nameserver.Nameserver:
    parts = urlsplit(f"//{text}")
    try:
        address, port = str(ip_address(parts.hostname or "")), parts.port or 53
    except ValueError:
        raise ValueError(f'dns_resolvers: "{text}" is no address of a server') from None
    return dns.nameserver.Do53Nameserver(address, port)


def record_name(domain: str, resolver: dns.resolver.Resolver) -> str:
    """Return the name of the record that proves a domain: where a CNAME leads, if there is one.

    :raises DnsError: the CNAMEs lead in a circle.
    """
    name = f"_acme-challenge.{domain}"
    for _ in range(_MOST_ALIASES):
        try:
            found = resolver.resolve(name, "CNAME")
        except dns.exception.DNSException:
            return name
        name = found[0].target.to_text().rstrip(".")
    raise DnsError(f"_acme-challenge.{domain}: too many CNAMEs follow one another")


def wait_for(
    name: str,
    value: str,
    gives_up: Callable[[], bool],
    resolver: dns.resolver.Resolver,
) -> bool:
    """Wait until all servers of the zone have a record.

    :param gives_up: asked between two attempts.
    :returns: whether they have it; if not, the authority may still find it.
    """
    end = time.monotonic() + PROPAGATION_SECONDS
    while not gives_up():
        servers = _servers(name, resolver)
        if servers and all(_has(server, name, value) for server in servers):
            return True
        if not servers and _is_resolved(name, value, resolver):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE)
    return False


def _servers(name: str, resolver: dns.resolver.Resolver) -> list[str]:
    """Return the addresses of the servers of a zone; none if they cannot be found."""
    found: list[str] = []
    try:
        zone = dns.resolver.zone_for_name(name, resolver=resolver)
        for server in resolver.resolve(zone, "NS"):
            for kind in ("A", "AAAA"):
                try:
                    found += [one.address for one in resolver.resolve(server.target, kind)]
                except dns.exception.DNSException:
                    continue
    except dns.exception.DNSException:
        return []
    return found


def _has(server: str, name: str, value: str) -> bool:
    query = dns.message.make_query(name, dns.rdatatype.TXT)
    try:
        answer, _ = dns.query.udp_with_fallback(query, server, _QUERY_SECONDS)
    except (OSError, dns.exception.DNSException):
        return False
    return any(
        value.encode() == b"".join(record.strings)
        for found in answer.answer
        if found.rdtype == dns.rdatatype.TXT
        for record in found
    )


def _is_resolved(name: str, value: str, resolver: dns.resolver.Resolver) -> bool:
    try:
        found = resolver.resolve(name, "TXT")
    except dns.exception.DNSException:
        return False
    return any(value.encode() == b"".join(record.strings) for record in found)
