"""The subject of a client's certificate as text that can stand in a header."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from support.certificates import issue

from pingap.tls.client_identity import subject


def test_a_subject_is_one_line_of_ascii() -> None:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ü, Söhne"),
            x509.NameAttribute(NameOID.COMMON_NAME, "a\r\nX-Admin: yes"),
        ]
    )
    der = issue(subject=name).certificate.public_bytes(Encoding.DER)
    assert subject(der) == "CN=a\\0D\\0AX-Admin: yes,O=\\C3\\9C\\, S\\C3\\B6hne"


def test_what_cannot_be_read_has_no_subject() -> None:
    assert subject(b"gibberish") == ""
