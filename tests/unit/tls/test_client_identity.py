"""What a client's certificate says, as text that can stand in a header."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from support.certificates import issue

from pingap.tls.client_identity import identity


def test_a_subject_is_one_line_of_ascii() -> None:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ü, Söhne"),
            x509.NameAttribute(NameOID.COMMON_NAME, "a\r\nX-Admin: yes"),
        ]
    )
    der = issue(subject=name).certificate.public_bytes(Encoding.DER)
    assert identity(der)["client_subject"] == "CN=a\\0D\\0AX-Admin: yes,O=\\C3\\9C\\, S\\C3\\B6hne"


def test_what_cannot_be_read_has_no_subject() -> None:
    assert list(identity(b"gibberish")) == ["client_fingerprint"]


def test_names_and_the_end_of_a_certificate() -> None:
    one = issue("a.example", "192.0.2.1", "2001:db8::1", common_name="alice")
    found = identity(one.certificate.public_bytes(Encoding.DER))
    assert found["client_common_name"] == "alice"
    assert found["client_names"] == ("DNS:a.example", "IP:192.0.2.1", "IP:2001:db8::1")
    assert found["client_valid_until"] == one.certificate.not_valid_after_utc.timestamp()


def test_a_certificate_without_names() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Shop")])
    found = identity(issue(subject=name).certificate.public_bytes(Encoding.DER))
    assert (found["client_subject"], found["client_common_name"], found["client_names"]) == (
        "O=Shop",
        "",
        (),
    )
