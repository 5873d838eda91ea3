"""Certificates for tests: authorities, and what they sign."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from pingap.config.kinds import Secret
from pingap.plugins.static_certificates import StaticCertificates
from pingap.tls.certificates import Certificate, parse_pair, split_domains


@dataclass
class Issued:
    """A certificate with its key and the certificates above it, without the root."""

    certificate: x509.Certificate
    private: Any
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def cert(self) -> str:
        """PEM of the certificate and its chain."""
        every = (self.certificate, *self.chain)
        return "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in every)

    @property
    def key(self) -> str:
        """PEM of the key."""
        return self.key_in(serialization.PrivateFormat.PKCS8)

    def key_in(self, form: serialization.PrivateFormat, password: bytes = b"") -> str:
        """Return PEM of the key in some form."""
        lock: Any = serialization.NoEncryption()
        if password:
            lock = serialization.BestAvailableEncryption(password)
        return self.private.private_bytes(serialization.Encoding.PEM, form, lock).decode()

    def write(self, folder: Path, name: str) -> tuple[str, str]:
        """Write both files; return their paths."""
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        paths[0].write_text(self.cert)
        paths[1].write_text(self.key)
        return str(paths[0]), str(paths[1])

    def toml(self, name: str, more: str = "") -> str:
        """Return the table of the configuration that serves it."""
        return (
            f"[certificates.{name}]\ntls_cert = '''\n{self.cert}'''\n"
            f"tls_key = '''\n{self.key}'''\n{more}\n"
        )


def issue(
    *names: str,
    by: Issued | None = None,
    ca: bool = False,
    common_name: str = "test",
    days: tuple[float, float] = (-1, 90),
    bits: int = 0,
    subject: x509.Name | None = None,
) -> Issued:
    """Make a certificate.

    :param names: host names and addresses.
    :param by: who signs it; itself if absent.
    :param days: when it begins and ends, from now.
    :param bits: of an RSA key; 0: a key on P-256.
    """
    private: Any = (
        rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
    )
    subject = subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        found = x509.SubjectAlternativeName([_general_name(name) for name in names])
        builder = builder.add_extension(found, critical=False)
    certificate = builder.sign(by.private if by else private, hashes.SHA256())
    chain = (
        ()
        if by is None or by.certificate.issuer == by.certificate.subject
        else (
            by.certificate,
            *by.chain,
        )
    )
    return Issued(certificate, private, chain)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def load_certificate(cert: str, key: str, domains: str, directory: Path) -> Certificate:
    """Load the certificate of a table of ``[certificates]``, as a start does.

    :param cert: value of ``tls_cert``; ``key``: of ``tls_key``; ``domains``: of the key of that name.
    :param directory: where relative paths begin.
    :raises CertificateError: what is wrong, and in which of the two.
    """
    source = StaticCertificates(StaticCertificates.Settings(tls_cert=cert, tls_key=Secret(key)))
    source.directory = directory
    pair = source.load()
    return parse_pair(pair.chain, pair.key, split_domains(domains), "tls_cert", "tls_key")
