"""Which certificate a client gets, and that certificates can be exchanged."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from support.certificates import Issued, issue, load_certificate
from support.handshake import shake_hands
from support.tls import client_context

from pingap.tls.options import TlsOptions
from pingap.tls.selection import Served, ServerTls

A = issue("a.test")
B = issue("*.b.test")
DEFAULT = issue("default.test")


def served(issued: Issued, *names: str) -> Served:
    certificate = load_certificate(issued.cert, issued.key, ",".join(names), Path())
    return Served(names=certificate.names, certificate=certificate)


@pytest.fixture
def tls() -> ServerTls:
    return ServerTls(TlsOptions(), (served(A), served(B), served(DEFAULT, "default.test", "*")))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.test", A),
        ("A.Test", A),
        ("A.test.", A),  # fully qualified
        ("x.b.test.", B),
        ("x.b.test", B),
        ("X.B.TEST", B),
        ("b.test", DEFAULT),  # a wildcard is for one label before it
        ("y.x.b.test", DEFAULT),
        ("a.test.other", DEFAULT),
        ("elsewhere", DEFAULT),
        (None, DEFAULT),
    ],
)
def test_selection(tls: ServerTls, name: str | None, expected: Issued) -> None:
    _, client = shake_hands(tls.context, client_context(), name)
    assert client.getpeercert(binary_form=True) == der(expected)


def der(issued: Issued) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return issued.certificate.public_bytes(Encoding.DER)


@pytest.mark.parametrize("name", ["elsewhere", None])
def test_without_a_default_an_unknown_name_is_refused(name: str | None) -> None:
    tls = ServerTls(TlsOptions(), (served(A),))
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name|callback"):
        shake_hands(tls.context, client_context(), name)


def test_the_first_with_a_name_counts() -> None:
    tls = ServerTls(TlsOptions(), (served(A), served(B, "a.test")))
    _, client = shake_hands(tls.context, client_context(), "a.test")
    assert client.getpeercert(binary_form=True) == der(A)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_exchange_touches_no_connection_and_sessions_stay_good(
    version: ssl.TLSVersion,
) -> None:
    tls = ServerTls(TlsOptions(), (served(A),))
    context = client_context(version=version)
    server, client = shake_hands(tls.context, context, "a.test")
    session = client.session
    other = ServerTls(TlsOptions(), (served(B, "a.test"),), tls)
    _, before = shake_hands(tls.context, context, "a.test")
    assert before.getpeercert(binary_form=True) == der(A)
    other.take_effect()
    server.write(b"still here")
    assert client.read(100) == b"still here"
    _, new = shake_hands(other.context, context, "a.test")
    assert new.getpeercert(binary_form=True) == der(B)
    _, resumed = shake_hands(other.context, context, "a.test", session)
    assert resumed.session_reused


def test_other_options_end_sessions() -> None:
    """What a client had to show for its session is not what it would have to show now."""
    tls = ServerTls(TlsOptions(), (served(A),))
    context = client_context(version=ssl.TLSVersion.TLSv1_2)
    _, client = shake_hands(tls.context, context, "a.test")
    other = ServerTls(TlsOptions(alpn=("h2", "http/1.1")), (served(A),), tls)
    _, again = shake_hands(other.context, context, "a.test", client.session)
    assert not again.session_reused


def test_an_exchange_that_fails_leaves_what_was() -> None:
    tls = ServerTls(TlsOptions(), (served(A),))
    weak = issue("a.test", bits=1024)
    with pytest.raises(ssl.SSLError):
        ServerTls(TlsOptions(), (served(weak),), tls)
    _, client = shake_hands(tls.context, client_context(), "a.test")
    assert client.getpeercert(binary_form=True) == der(A)
