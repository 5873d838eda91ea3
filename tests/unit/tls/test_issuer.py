"""Certificates that are signed on demand."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.certificates import Issued, issue, load_certificate
from support.handshake import shake_hands
from support.tls import client_context

from pingap.tls import issuer
from pingap.tls.issuer import Authority
from pingap.tls.options import TlsOptions
from pingap.tls.pem import CertificateError
from pingap.tls.selection import Served, ServerTls

SUBJECT = x509.Name(
    [
        x509.NameAttribute(NameOID.COMMON_NAME, "our root"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Us"),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Tests"),
    ]
)
ROOT = issue(ca=True, subject=SUBJECT, bits=2048)


def authority(root: Issued = ROOT) -> Authority:
    return Authority(load_certificate(root.cert, root.key, "*", Path()))


def made(pem: bytes | None) -> list[x509.Certificate]:
    assert pem is not None
    return x509.load_pem_x509_certificates(pem)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("example.com", "example.com"),
        ("localhost", "localhost"),
        ("a.example.com", "*.example.com"),
        ("a.b.example.com", "*.b.example.com"),
        ("", "*"),
    ],
)
def test_the_name_of_a_certificate(name: str, expected: str) -> None:
    (leaf,) = made(authority().pem_for(name))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [expected]
    assert leaf.subject.rfc4514_string() == f"OU=Tests,O=Us,CN={expected}"
    assert leaf.issuer == SUBJECT
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)


def test_its_life_ends_with_that_of_the_authority() -> None:
    (leaf,) = made(authority().pem_for("a.test"))
    assert leaf.not_valid_after_utc == ROOT.certificate.not_valid_after_utc
    assert leaf.not_valid_before_utc < datetime.now(UTC) - timedelta(hours=23)
    long = issue(ca=True, days=(-1, 5000))
    (leaf,) = made(authority(long).pem_for("a.test"))
    assert leaf.not_valid_after_utc < datetime.now(UTC) + timedelta(days=731)


def test_names_beside_each_other_share_one() -> None:
    one = authority()
    assert one.pem_for("a.example.com") == one.pem_for("b.example.com")
    assert one.pem_for("a.example.com") != one.pem_for("a.example.org")


@pytest.mark.parametrize("name", ["a b", "a..b", "-a.test", "x" * 254, "a.\x00.b", "ü.test", "*.a"])
def test_what_is_no_name_of_a_host_gets_none(name: str) -> None:
    assert authority().pem_for(name) is None or name == "*.a"


def test_a_name_too_long_for_a_common_name() -> None:
    label = "x" * 60
    (leaf,) = made(authority().pem_for(f"{label}.{label}"))
    assert leaf.subject.rfc4514_string() == "OU=Tests,O=Us"


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer, "KEPT", 3)
    one = authority(issue(ca=True))
    first = one.pem_for("a0.test")
    for number in range(1, 3):
        one.pem_for(f"a{number}.test")
    assert one.pem_for("a0.test") == first  # used lately, so that another one is dropped
    one.pem_for("a3.test")
    assert one.pem_for("a0.test") == first
    assert len(one._made) == 3


def test_one_that_ends_soon_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    one = authority(issue(ca=True, days=(-1, 1000)))
    first = one.pem_for("a.test")
    later = datetime.now(UTC) + timedelta(days=730, minutes=-30)
    monkeypatch.setattr(issuer, "utc_now", lambda: later)
    assert one.pem_for("a.test") != first


def test_only_an_authority_may_sign() -> None:
    leaf = issue("a.test")
    with pytest.raises(CertificateError, match="not one of an authority") as caught:
        authority(leaf)
    assert caught.value.key == "is_ca"


def test_clients_that_know_the_authority_are_content() -> None:
    middle = issue(ca=True, by=ROOT, common_name="middle")
    for root in (ROOT, middle):
        served = Served(names=("*",), issuer=authority(root))
        tls = ServerTls(TlsOptions(), (served,))
        context = client_context(root)
        if root is middle:
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        for name in ("www.example.com", "shop.example.com", "example.com"):
            shake_hands(tls.context, context, name)


def test_a_name_that_is_none_is_refused_in_the_handshake() -> None:
    tls = ServerTls(TlsOptions(), (Served(names=("*",), issuer=authority()),))
    with pytest.raises(ssl.SSLError):
        shake_hands(tls.context, client_context(), "a_-.test")
