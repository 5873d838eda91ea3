"""Details of a client certificate, for plugins, header values and the access log."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from pingap.http.connection import TlsDetails

if TYPE_CHECKING:
    from cryptography import x509

_UNSAFE: Final = re.compile(r"[^ -~]")
_MOST_NAMES: Final = 100


def details(tls: ssl.SSLObject, handshake_seconds: float) -> TlsDetails:
    """Return the details of a connection after its handshake."""
    cipher = tls.cipher()
    certificate = tls.getpeercert(binary_form=True)
    return TlsDetails(
        version=tls.version() or "",
        cipher="" if cipher is None else cipher[0],
        handshake_seconds=handshake_seconds,
        **(identity(certificate) if certificate else {}),
    )


def identity(certificate: bytes) -> dict[str, Any]:
    r"""Return the fields of ``TlsDetails`` that describe a certificate.

    Text is ASCII, other characters are ``\HH`` (RFC 4514, 2.4): so it is safe in a header, and its content
    cannot start another header. What cannot be read is left out.
    """
    from cryptography import x509  # optional, but installed if certificates are configured

    found: dict[str, Any] = {"client_fingerprint": hashlib.sha256(certificate).hexdigest()}
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        found["client_valid_until"] = parsed.not_valid_after_utc.timestamp()
        found["client_subject"] = _ascii(parsed.subject.rfc4514_string())
        common = parsed.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        found["client_common_name"] = _ascii(str(common[0].value)) if common else ""
        found["client_names"] = tuple(_names(parsed))[:_MOST_NAMES]
    except ValueError:
        pass  # OpenSSL has verified it, so a plugin still gets its fingerprint
    return found


def _names(certificate: x509.Certificate) -> Iterator[str]:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return
    kinds: dict[type[x509.GeneralName], str] = {
        x509.DNSName: "DNS",
        x509.RFC822Name: "email",
        x509.UniformResourceIdentifier: "URI",
        x509.IPAddress: "IP",
    }
    for name in extension.value:
        if (kind := kinds.get(type(name))) is not None:
            yield f"{kind}:{_ascii(str(name.value))}"


def _ascii(text: str) -> str:
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return "".join(f"\\{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))
