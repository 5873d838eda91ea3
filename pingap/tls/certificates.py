"""Certificates and keys of the configuration: parsed, and checked against each other.

``pem`` reads their text; ``selection`` decides which certificate a client gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from pingap.tls.facts import CertificateFacts
from pingap.tls.pem import CertificateError, blocks, read_pem

SOON: Final = timedelta(days=7)
"""Remaining lifetime of a certificate below which a warning is given, unless ``buffer_days`` is set."""

PrivateKey: TypeAlias = CertificateIssuerPrivateKeyTypes
Source: TypeAlias = Literal["configuration", "plugin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate with its key and chain, checked against each other.

    :param names: the names it is served for, in lower case: host names, ``*.host``, addresses.
    :param chain: the certificates that follow the leaf, in the order of the file.
    """

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey
    names: tuple[str, ...]

    @property
    def pem(self) -> bytes:
        """Key, leaf and chain in the form that OpenSSL reads. Must never be shown."""
        return _pem((self.leaf, *self.chain), self.key)

    def __repr__(self) -> str:
        return f"<Certificate {', '.join(self.names)}>"


def parse_pair(
    chain: bytes,
    key: bytes,
    names: tuple[str, ...] = (),
    chain_name: str = "chain",
    key_name: str = "key",
) -> Certificate:
    """Read a certificate and its key from PEM, and check that they belong together.

    :param chain: the leaf and its chain.
    :param names: the names it is served for; by default those in the certificate.
    :param chain_name: the name of the chain in messages, and the ``key`` of errors.
    :raises CertificateError: the error, and the key of the value that has it.
    """
    certificates = parse_chain(chain, chain_name)
    return _matched(certificates, parse_key(key, key_name), names, chain_name, key_name)


def _matched(
    chain: tuple[x509.Certificate, ...],
    key: PrivateKey,
    names: tuple[str, ...],
    chain_name: str,
    key_name: str,
) -> Certificate:
    check_pair(chain, key, chain_name, key_name)
    if not names and not (names := tuple(_names(chain[0]))):
        raise CertificateError(
            chain_name, "the certificate names no host: domains must say what it is served for"
        )
    return Certificate(leaf=chain[0], chain=chain[1:], key=key, names=names)


def split_domains(domains: str) -> tuple[str, ...]:
    """Return the names in a value of ``domains``, in lower case, and as clients send them (RFC 5890)."""
    return tuple(_encoded(normal_name(name)) for name in domains.split(",") if name.strip())


def _encoded(name: str) -> str:
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode()
    except UnicodeError:  # no client can ask for it
        return name


def normal_name(name: str) -> str:
    """Return a name in the form in which names are compared."""
    return name.strip().lower().removesuffix(".")


def facts_of(
    leaf: x509.Certificate, name: str, names: tuple[str, ...], source: Source, alpn: str = ""
) -> CertificateFacts:
    """Return the public facts of a certificate; the parameters are those of ``CertificateFacts``."""
    return CertificateFacts(
        name=name,
        names=names,
        issuer=leaf.issuer.rfc4514_string(),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
        source=source,
        alpn=alpn,
    )


def load_pair(cert: str, key: str, directory: Path) -> bytes:
    """Read our client certificate for upstreams and its key; return both in the form that OpenSSL reads.

    :raises CertificateError: they cannot be read, or do not belong together.
    """
    chain = load_chain(cert, "client_cert", directory)
    private = load_key(key, "client_key", directory)
    check_pair(chain, private, "client_cert", "client_key")
    if (why := invalid(chain[0], utc_now())) is not None:
        raise CertificateError("client_cert", why)
    return _pem(chain, private)


def _pem(chain: tuple[x509.Certificate, ...], key: PrivateKey) -> bytes:
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)


def load_chain(text: str, name: str, directory: Path) -> tuple[x509.Certificate, ...]:
    """Read certificates.

    :param name: the configuration key of the text.
    :raises CertificateError: there is none, or one cannot be read.
    """
    return parse_chain(read_pem(text, name, directory), name)


def parse_chain(data: bytes, name: str) -> tuple[x509.Certificate, ...]:
    """Read certificates from PEM.

    :param name: its name in messages and errors.
    :raises CertificateError: there is none, or one cannot be read.
    """
    chain = []
    for place, block in enumerate(blocks(data, b"CERTIFICATE"), 1):
        try:
            chain.append(x509.load_pem_x509_certificate(block))
        except ValueError:
            raise CertificateError(name, f"certificate {place} in it is damaged") from None
    if not chain:
        raise CertificateError(name, "there is no certificate in it (BEGIN CERTIFICATE)")
    return tuple(chain)


def load_key(text: str, name: str, directory: Path) -> PrivateKey:
    """Read a private key.

    :raises CertificateError: there is none, it cannot be read, or needs a password.
    """
    return parse_key(read_pem(text, name, directory, secret=True), name)


def parse_key(data: bytes, name: str) -> PrivateKey:
    """Read a private key from PEM.

    :param name: its name in messages and errors.
    :raises CertificateError: there is none, it cannot be read, or needs a password.
    """
    # There may be other blocks: EC PARAMETERS before it, certificates after it.
    for block in blocks(data, b"PRIVATE KEY"):
        return _parse_key(block, name)
    raise CertificateError(name, "there is no private key in it (BEGIN PRIVATE KEY)")


def _parse_key(block: bytes, name: str) -> PrivateKey:
    try:
        key: Any = serialization.load_pem_private_key(block, None)
    except TypeError:
        raise CertificateError(
            name, "the private key needs a password: write it without one (openssl pkey)"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(name, "the private key in it is damaged") from None
    return key  # type: ignore[no-any-return]


def check_pair(
    chain: tuple[x509.Certificate, ...], key: PrivateKey, cert_name: str, key_name: str
) -> None:
    """Check that a key belongs to the first certificate.

    :raises CertificateError: it belongs to another one, or to none.
    """
    wanted = _public(key.public_key())
    for place, certificate in enumerate(chain, 1):
        if _public(certificate.public_key()) != wanted:
            continue
        if place > 1:
            raise CertificateError(
                cert_name, f"the key belongs to certificate {place} in it, which must come first"
            )
        return
    raise CertificateError(key_name, f"the key does not belong to the certificate of {cert_name}")


def _public(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def invalid(certificate: x509.Certificate, now: datetime) -> str | None:
    """Return why a certificate is not valid now; None if it is."""
    if certificate.not_valid_after_utc <= now:
        return f"the certificate expired at {moment(certificate.not_valid_after_utc)}"
    if certificate.not_valid_before_utc > now:
        return f"the certificate is not valid before {moment(certificate.not_valid_before_utc)}"
    return None


def doubts(certificate: Certificate, buffer_days: int, now: datetime) -> Iterator[str]:
    """Yield warnings about a usable certificate."""
    end = certificate.leaf.not_valid_after_utc
    if (why := invalid(certificate.leaf, now)) is not None:
        # Not an error: after a restart, it would prevent all other sites from being served.
        yield why
    elif end - now < (timedelta(days=buffer_days) if buffer_days else SOON):
        yield f"the certificate expires at {moment(end)}"
    every = (certificate.leaf, *certificate.chain)
    for place in range(1, len(every)):
        if every[place - 1].issuer != every[place].subject:
            yield (
                f"certificate {place + 1} in it did not issue certificate {place}:"
                " some clients cannot verify the chain up to a root that they trust"
            )
            break


def utc_now() -> datetime:
    """Return the time in the form used by certificates."""
    return datetime.now(UTC)


def moment(time: datetime) -> str:
    """Return a time as text for a message."""
    return time.strftime("%Y-%m-%d %H:%M UTC")


def _names(leaf: x509.Certificate) -> Iterator[str]:
    """Yield the names of a certificate; clients ignore its common name (RFC 6125, 6.4.4)."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return
    for name in found:
        if isinstance(name, x509.DNSName | x509.IPAddress):
            yield str(name.value).lower()
