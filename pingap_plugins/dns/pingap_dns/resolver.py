"""Sends questions to name servers, as configured by the host or by the upstream."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Final

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rcode
import dns.resolver

from pingap import DiscoverySettings
from pingap_dns.hosts import look_up, read_hosts
from pingap_dns.records import Answer, Kind, Question, Service

QUESTION_SECONDS: Final = 5.0
"""Time limit of a question over all name servers."""
TRY_SECONDS: Final = 2.0
"""Time limit of one name server, before the next is tried."""


class LookupFailed(Exception):
    """No answer, or the answer that the name does not exist; the message gives the reason."""


class Resolver:
    """Queries name servers; reads the system's files when it is created.

    :param settings: of the upstream, which may have its own name servers and domains.
    """

    def __init__(self, settings: DiscoverySettings) -> None:
        self._hosts = read_hosts()
        self._resolver = _configured(settings)
        self._backend = dns.asyncbackend.get_backend("asyncio")

    async def ask(self, question: Question) -> Answer:
        """Return the answer to a question.

        :raises LookupFailed: there is none.
        """
        name, kind = question
        if kind != "SRV" and (known := look_up(self._hosts, name)):
            version = 4 if kind == "A" else 6
            return Answer(tuple(one for one in known if ip_address(one).version == version))
        try:
            found = await self._resolver.resolve(
                name,
                kind,
                raise_on_no_answer=False,
                lifetime=QUESTION_SECONDS,
                search=True,
                backend=self._backend,
            )
        except dns.resolver.NXDOMAIN:
            raise LookupFailed(f'there is no name "{name}"') from None
        except dns.exception.Timeout:
            text = f'no name server answered for "{name}" within {QUESTION_SECONDS:g} s'
            raise LookupFailed(text) from None
        except dns.resolver.NoNameservers as error:
            raise LookupFailed(f'no name server answers for "{name}": {_reasons(error)}') from None
        except (dns.exception.DNSException, OSError) as error:
            raise LookupFailed(f'"{name}" cannot be looked up: {error}') from None
        return _answer(found, kind)


def _answer(found: dns.resolver.Answer, kind: Kind) -> Answer:
    ttl = float(found.chaining_result.minimum_ttl)  # including aliases
    records: list[Any] = list(found)
    if kind != "SRV":
        return Answer(addresses=tuple(sorted(one.address for one in records)), ttl=ttl)
    services = (
        Service(one.priority, one.weight, one.port, one.target.to_text()) for one in records
    )
    return Answer(services=tuple(sorted(services)), ttl=ttl)


def _reasons(error: dns.resolver.NoNameservers) -> str:
    """Return why each name server did not answer, without duplicates."""
    reasons = {
        dns.rcode.to_text(response.rcode()) if response is not None else type(why).__name__
        for *_, why, response in error.kwargs["errors"]
    }
    return ", ".join(sorted(reasons)) or "none is left to ask"


def _configured(settings: DiscoverySettings) -> dns.asyncresolver.Resolver:
    if settings.dns_server:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.domain = dns.name.root  # the host's domain does not apply to our own servers
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(address, port) for address, port in settings.dns_server
        ]
    else:
        try:
            resolver = dns.asyncresolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers = ["127.0.0.1"]  # as resolv.conf(5) says
    resolver.timeout = min(resolver.timeout, TRY_SECONDS)
    resolver.search = _search_list(resolver, settings)
    return resolver


def _search_list(
    resolver: dns.asyncresolver.Resolver, settings: DiscoverySettings
) -> list[dns.name.Name]:
    """Return the domains to try for a name: ours first, those of the system, and additional ones."""
    system = list(resolver.search)
    if not system and resolver.domain not in (None, dns.name.root):
        system = [resolver.domain]
    first = [settings.dns_domain] if settings.dns_domain else []
    listed = [
        *map(dns.name.from_text, first),
        *([] if first else system),
        *map(dns.name.from_text, settings.dns_search),
    ]
    return list(dict.fromkeys(listed))
