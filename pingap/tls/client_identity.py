"""Details of a client certificate, for plugins, header values and the access log."""

from __future__ import annotations

import hashlib
import re
import ssl
from typing import Final

from pingap.http.connection import TlsDetails

_UNSAFE: Final = re.compile(r"[^ -~]")


def details(tls: ssl.SSLObject, handshake_seconds: float) -> TlsDetails:
    """Return the details of a connection after its handshake."""
    cipher = tls.cipher()
    certificate = tls.getpeercert(binary_form=True)
    return TlsDetails(
        version=tls.version() or "",
        cipher="" if cipher is None else cipher[0],
        handshake_seconds=handshake_seconds,
        client_subject=subject(certificate) if certificate else "",
        client_fingerprint=hashlib.sha256(certificate).hexdigest() if certificate else "",
    )


def subject(certificate: bytes) -> str:
    r"""Return the subject of a certificate in ASCII: other characters as ``\HH`` (RFC 4514, 2.4).

    So it is safe in a header, and its content cannot start another header. Empty if it cannot be read.
    """
    from cryptography import x509  # optional, but installed if certificates are configured

    try:
        text = x509.load_der_x509_certificate(certificate).subject.rfc4514_string()
    except ValueError:
        return ""
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return "".join(f"\\{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))
