"""Certificates of Redis servers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Files:
    """A certificate that an authority has signed.

    :param asks: whether servers ask for a certificate of the client, ``yes`` or ``no``.
    """

    authority: Path
    certificate: Path
    key: Path
    asks: str = "no"

    @property
    def arguments(self) -> tuple[str, ...]:
        """Return arguments with which redis-server speaks TLS at its only port."""
        return (
            *("--tls-cert-file", str(self.certificate), "--tls-key-file", str(self.key)),
            *("--tls-ca-cert-file", str(self.authority), "--tls-auth-clients", self.asks),
            *("--tls-replication", "yes", "--tls-cluster", "yes"),
        )


def issue(folder: Path, address: str = "127.0.0.1") -> Files:
    """Make an authority, and a certificate for an address."""
    folder.mkdir(exist_ok=True)
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    files = Files(folder / "ca.pem", folder / "redis.pem", folder / "redis.key")
    is_authority = x509.BasicConstraints(ca=True, path_length=None)
    authority = _builder(root, root, root_key).add_extension(is_authority, critical=True)
    certificate = _builder(name, root, key).add_extension(names, critical=False)
    for path, builder in ((files.authority, authority), (files.certificate, certificate)):
        signed = builder.sign(root_key, hashes.SHA256())
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    form, lock = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, lock))
    return files


def _builder(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
