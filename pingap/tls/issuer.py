"""A certificate authority of our own that signs certificates on demand (acme.md, section 3).

Clients choose the names, so the number of kept certificates is limited, and the least recently used one is
dropped.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pingap.tls.certificates import Certificate, utc_now
from pingap.tls.pem import CertificateError

KEPT: Final = 1000
"""Maximum number of certificates that an authority keeps."""
_LIFE: Final = timedelta(days=730)
_RENEW: Final = timedelta(hours=1)
"""Remaining lifetime below which a certificate is replaced."""
_DAY: Final = timedelta(days=1)
_LONGEST_COMMON_NAME: Final = 64  # RFC 5280, A.1
_NAME: Final = re.compile(
    r"\*|(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*"
)


class Authority:
    """Signs certificates with a CA certificate of the configuration.

    :raises CertificateError: the certificate may not sign others.
    """

    def __init__(self, certificate: Certificate) -> None:
        check_may_sign(certificate.leaf)
        self._certificate = certificate
        self._made: dict[str, tuple[datetime, bytes]] = {}

    def pem_for(self, name: str) -> bytes | None:
        """Return key, certificate and chain for a name; None if it cannot be a host name."""
        subject = common_name(name)
        if len(subject) > 253 or not _NAME.fullmatch(subject):
            return None
        now = utc_now()
        end, pem = self._made.pop(subject, (now, b""))
        if end - now < _RENEW:
            end, pem = self._make(subject, now)
        self._made[subject] = end, pem  # the most recently used last
        if len(self._made) > KEPT:
            del self._made[next(iter(self._made))]
        return pem

    def _make(self, name: str, now: datetime) -> tuple[datetime, bytes]:
        signer = self._certificate
        end = min(signer.leaf.not_valid_after_utc, now + _LIFE)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(self._subject(name))
            .issuer_name(signer.leaf.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(end)
        )
        for extension, critical in self._extensions(name, key.public_key()):
            builder = builder.add_extension(extension, critical)
        silent = isinstance(signer.key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        leaf = builder.sign(signer.key, None if silent else hashes.SHA256())
        made = Certificate(leaf=leaf, chain=signer.chain, key=key, names=(name,))
        return end, made.pem

    def _subject(self, name: str) -> x509.Name:
        """Return name, organization and unit; the latter two are the authority's."""
        parts: list[x509.NameAttribute[str | bytes]] = []
        if len(name) <= _LONGEST_COMMON_NAME:
            parts.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
        for oid in (NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME):
            parts += self._certificate.leaf.subject.get_attributes_for_oid(oid)[:1]
        return x509.Name(parts)

    def _extensions(
        self, name: str, key: ec.EllipticCurvePublicKey
    ) -> list[tuple[x509.ExtensionType, bool]]:
        return [
            # It is the only name if the host is too long for a common name (RFC 5280, 4.2.1.6).
            (x509.SubjectAlternativeName([x509.DNSName(name)]), len(name) > _LONGEST_COMMON_NAME),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectKeyIdentifier.from_public_key(key), False),
            (
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self._certificate.leaf.public_key()  # type: ignore[arg-type]  # it signs
                ),
                False,
            ),
        ]


def common_name(name: str) -> str:
    """Return the name that a certificate is made for: a wildcard also serves its siblings."""
    if not name:
        return "*"
    if name.count(".") > 1:
        return f"*.{name.partition('.')[2]}"
    return name


def check_may_sign(certificate: x509.Certificate) -> None:
    """Check that clients will accept certificates signed by this one.

    :raises CertificateError: it is not a CA certificate.
    """
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        found = None
    if found is None or not found.value.ca:
        raise CertificateError("is_ca", "the certificate is not one of an authority (CA:TRUE)")
