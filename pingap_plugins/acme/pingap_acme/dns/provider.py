"""What a DNS provider has to do, and how distributions add providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from pingap import hookspec


class DnsError(Exception):
    """A record could not be changed. The message is for the operator and has no secrets."""


class DnsProvider(Protocol):
    """Adds and removes TXT records. The methods block, and are called in a thread."""

    def add(self, name: str, value: str) -> None:
        """Add a record beside those that there are.

        :param name: the full name, without a final dot.
        :raises DnsError: it was not added.
        """

    def remove(self, name: str, value: str) -> None:
        """Remove that record; one that is not there is no error.

        :raises DnsError: it was not removed.
        """


DnsProviderFactory = Callable[[str], DnsProvider]
"""Makes a provider from ``dns_service_url``; it raises ``ValueError``, without secrets, if that is wrong."""


@hookspec
def acme_dns_providers() -> Mapping[str, DnsProviderFactory]:  # type: ignore[empty-body]
    """Return further providers for ``dns_provider``, by name.

    :returns: name -> factory.
    """


def parameters(url: str, *needed: str) -> dict[str, str]:
    """Return the parameters of a ``dns_service_url``.

    :raises ValueError: one is missing.
    """
    found = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    for name in needed:
        if not found.get(name):
            raise ValueError(f"dns_service_url: the parameter {name} is missing")
    return found


def base_of(url: str, usual: str) -> str:
    """Return scheme, host and port of a ``dns_service_url``, without its path and parameters."""
    parts = urlsplit(url)
    if not parts.scheme:
        return usual
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError("dns_service_url: credentials must not be sent unencrypted; use https")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def parents(name: str) -> list[str]:
    """Return the names that may be the zone of a name, the longest one first."""
    labels = name.split(".")
    return [".".join(labels[at:]) for at in range(len(labels) - 1)]
