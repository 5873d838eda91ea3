"""The names of a certificate: how they are compared and what an order contains of them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from cryptography import x509

MOST_NAMES = 100
"""Names in one certificate; authorities accept no more."""


def normalised(names: Iterable[str]) -> tuple[str, ...]:
    """Return names as a certificate has them: in lower case, IDNA-encoded, sorted, each once.

    :raises ValueError: one of them is not a name.
    """
    found = sorted({_normalised(name.strip()) for name in names if name.strip()})
    if len(found) > MOST_NAMES:
        raise ValueError(f"domains: {len(found)} names, but a certificate can have {MOST_NAMES}")
    return tuple(found)


def _normalised(name: str) -> str:
    try:
        return str(ip_address(name.strip("[]")))
    except ValueError:
        pass
    wildcard, host = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    host = host.rstrip(".")
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError as error:
            raise ValueError(f'domains: "{name}" is not a host name: {error}') from None
    host = host.lower()
    labels = host.split(".")
    is_host = len(labels) > 1 and not labels[-1].isdecimal() and all(map(_is_label, labels))
    if len(host) > 253 or not is_host:
        raise ValueError(
            f'domains: "{name}" is not a name that an authority can verify: expected one such as '
            '"www.example.com" or "*.example.com"'
        )
    return wildcard + host


def _is_label(label: str) -> bool:
    return (
        0 < len(label) < 64
        and label[0] != "-" != label[-1]
        and all(one.isalnum() or one in "-_" for one in label)
    )


def is_address(name: str) -> bool:
    """Return whether a normalised name is an IP address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def names_in(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the normalised names of a certificate; none if it has no alternative names."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = [*found.get_values_for_type(x509.DNSName)]
    names += map(str, found.get_values_for_type(x509.IPAddress))
    return tuple(sorted({name.lower() for name in names}))
