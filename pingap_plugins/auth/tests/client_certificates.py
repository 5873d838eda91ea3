"""Certificates for tests."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pingap.testing import Client


@dataclass
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    private: Any

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write both files; return their paths."""
        cert, key = folder / f"{name}.pem", folder / f"{name}.key"
        cert.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        form, lock = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        key.write_bytes(self.private.private_bytes(serialization.Encoding.PEM, form, lock))
        return cert, key

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal."""
        return hashlib.sha256(self.certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def issue(
    common_name: str,
    *names: x509.GeneralName,
    by: Issued | None = None,
    organization: str = "",
    days: float = 90,
) -> Issued:
    """Make a certificate; without ``by``, an authority that signs itself."""
    private = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    now, subject = datetime.now(UTC), x509.Name(parts)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    return Issued(builder.sign(by.private if by else private, hashes.SHA256()), private)


class TlsClient(Client):
    """A connection by TLS, to a server whose certificate is not checked.

    :param own: files of the certificate and key to show.
    """

    def __init__(self, address: tuple[str, int], own: tuple[Path, Path] | None = None) -> None:
        super().__init__(address)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if own is not None:
            context.load_cert_chain(*own)
        self.sock = context.wrap_socket(self.sock, server_hostname="a.test")
