"""Puts proofs in place as DNS records."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

import dns.resolver

from pingap_acme.challenges import DNS, Proof
from pingap_acme.dns.acme_dns import AcmeDns
from pingap_acme.dns.aliyun import Aliyun
from pingap_acme.dns.cloudflare import Cloudflare
from pingap_acme.dns.hooks import Manual, Program, Update
from pingap_acme.dns.huawei import Huawei
from pingap_acme.dns.propagation import record_name, wait_for
from pingap_acme.dns.provider import DnsError, DnsProvider, DnsProviderFactory
from pingap_acme.dns.tencent import Tencent
from pingap_acme.errors import OrderError

log = logging.getLogger("pingap.acme")

PROVIDERS: Mapping[str, DnsProviderFactory] = {
    "manual": Manual,
    "ali": Aliyun,
    "aliyun": Aliyun,
    "cf": Cloudflare,
    "cloudflare": Cloudflare,
    "tencent": Tencent,
    "huawei": Huawei,
    "exec": Program,
    "rfc2136": Update,
    "acme_dns": AcmeDns,
}
"""Value of ``dns_provider`` -> the provider; those of pingap 0.13.9 come first."""


class DnsProver:
    """Proves names by TXT records.

    :param provider: where the records are kept.
    :param resolver: asked where they belong.
    """

    def __init__(self, provider: DnsProvider, resolver: dns.resolver.Resolver) -> None:
        self._provider, self._resolver = provider, resolver
        self._records: list[tuple[str, str]] = []
        self.stopped = threading.Event()
        """Set when nobody waits for the order any longer."""

    def kinds(self, name: str, *, is_wildcard: bool) -> list[str]:
        """Return the kinds of challenges that are possible for a name."""
        return [DNS]

    def present(self, proofs: list[Proof]) -> None:
        """Add the records, and wait until the servers of the zone have them.

        :raises OrderError: a record cannot be added, or the order was given up meanwhile.
        """
        try:
            for proof in proofs:
                record = record_name(proof.name, self._resolver), proof.content
                self._records.append(record)  # before, as it may be there after a failure, too
                self._provider.add(*record)
        except DnsError as error:
            raise OrderError(str(error)) from error
        for name, value in self._records:
            if not wait_for(name, value, self.stopped.is_set, self._resolver):
                log.warning("the record %s is not at all servers of its zone yet", name)
        if self.stopped.is_set():
            raise OrderError("pingap stops, or its configuration has changed")

    def remove(self, proofs: list[Proof]) -> None:
        """Remove the records; what cannot be removed is logged."""
        for name, value in self._records:
            try:
                self._provider.remove(name, value)
            except DnsError as error:
                log.warning("the record %s IN TXT %s stays: %s", name, value, error)
        self._records.clear()
