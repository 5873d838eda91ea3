"""Certificates of the configuration: their forms, and what can be wrong with them."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import PrivateFormat
from support.certificates import Issued, issue, load_certificate

from pingap.tls.certificates import (
    doubts,
    load_chain,
    load_key,
    load_pair,
)
from pingap.tls.pem import CertificateError

ROOT = issue(ca=True, common_name="root")
MIDDLE = issue(ca=True, common_name="middle", by=ROOT)
LEAF = issue("A.example.com", "*.b.example.com", "127.0.0.1", "::1", by=MIDDLE)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_names_are_those_of_the_certificate_in_lower_case() -> None:
    loaded = load_certificate(LEAF.cert, LEAF.key, "", Path())
    assert loaded.names == ("a.example.com", "*.b.example.com", "127.0.0.1", "::1")
    assert [one.subject for one in loaded.chain] == [MIDDLE.certificate.subject]


def test_domains_replace_the_names() -> None:
    loaded = load_certificate(LEAF.cert, LEAF.key, " X.test , *.y.test,", Path())
    assert loaded.names == ("x.test", "*.y.test")


def test_international_names_are_those_that_clients_send() -> None:
    loaded = load_certificate(LEAF.cert, LEAF.key, "BÜCHER.test, *.bücher.test", Path())
    assert loaded.names == ("xn--bcher-kva.test", "*.xn--bcher-kva.test")


@pytest.mark.parametrize("form", ["text", "base64", "base64 in lines", "file", "relative", "home"])
def test_forms_of_a_value(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = LEAF.write(tmp_path, "leaf")
    monkeypatch.setenv("HOME", str(tmp_path))
    cert, key = {
        "text": (LEAF.cert, LEAF.key),
        "base64": (encoded(LEAF.cert), encoded(LEAF.key)),
        "base64 in lines": (
            base64.encodebytes(LEAF.cert.encode()).decode(),
            base64.encodebytes(LEAF.key.encode()).decode(),
        ),
        "file": paths,
        "relative": ("leaf.pem", "leaf.key"),
        "home": ("~/leaf.pem", "~/leaf.key"),
    }[form]
    assert load_certificate(cert, key, "", tmp_path).leaf == LEAF.certificate


def test_other_text_around_the_blocks_does_no_harm() -> None:
    """A comment at the end made pingap 0.13.9 take PEM for the name of a file."""
    cert = f"subject=CN = a\n{LEAF.cert}# renewed by hand\n"
    key = (
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + LEAF.key
    )
    assert load_certificate(cert, key, "", Path()).leaf == LEAF.certificate


def test_one_text_may_hold_both() -> None:
    both = LEAF.key + LEAF.cert
    assert load_certificate(both, both, "", Path()).leaf == LEAF.certificate


@pytest.mark.parametrize("bits", [0, 2048])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_kinds_of_keys(bits: int, form: PrivateFormat) -> None:
    issued = issue("a.test", bits=bits)
    load_certificate(issued.cert, issued.key_in(form), "", Path())


def problem(cert: str, key: str, domains: str = "") -> tuple[str, str]:
    with pytest.raises(CertificateError) as caught:
        load_certificate(cert, key, domains, Path())
    message = str(caught.value)
    for line in [*key.splitlines(), encoded(key)]:  # what was given is never repeated
        assert len(line) < 30 or line not in message
    return caught.value.key, message


OTHER = issue("a.example.com")


def test_a_key_of_another_certificate() -> None:
    message = "the key does not belong to the certificate of tls_cert"
    assert problem(LEAF.cert, OTHER.key) == ("tls_key", message)


def test_a_chain_in_the_wrong_order() -> None:
    backwards = Issued(MIDDLE.certificate, None, (LEAF.certificate,)).cert
    message = "the key belongs to certificate 2 in it, which must come first"
    assert problem(backwards, LEAF.key) == ("tls_cert", message)


@pytest.mark.parametrize("damage", [encoded, str])
def test_a_damaged_key_and_certificate(damage: type[str]) -> None:
    lines = LEAF.key.splitlines()
    broken = "\n".join([lines[0], lines[1][:20], lines[-1]])
    message = "the private key in it is damaged"
    assert problem(LEAF.cert, damage(broken)) == ("tls_key", message)
    lines = LEAF.cert.splitlines()
    del lines[3]
    message = "certificate 1 in it is damaged"
    assert problem(damage("\n".join(lines)), LEAF.key) == ("tls_cert", message)


def test_a_key_with_a_password() -> None:
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        locked = LEAF.key_in(form, b"hush")
        message = "the private key needs a password: write it without one (openssl pkey)"
        assert problem(LEAF.cert, locked) == ("tls_key", message)


def test_swapped_values() -> None:
    message = "there is no certificate in it (BEGIN CERTIFICATE)"
    assert problem(LEAF.key, LEAF.cert) == ("tls_cert", message)
    message = "there is no private key in it (BEGIN PRIVATE KEY)"
    assert problem(LEAF.cert, LEAF.cert) == ("tls_key", message)


@pytest.mark.parametrize(
    "value", ["/no/such/file.pem", "gibberish", "aGVsbG8=", "a\0b", "x" * 9999]
)
def test_what_is_none_of_the_three(value: str) -> None:
    expected = "expected PEM text, a file that exists, or base64 of PEM text"
    assert problem(LEAF.cert, value) == ("tls_key", expected)
    key, message = problem(value, LEAF.key)
    assert key == "tls_cert"
    assert message.startswith("found ")
    assert message.endswith(expected)


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "large.pem"
    path.write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(CertificateError, match="is larger than 1048576 bytes"):
        load_chain(str(path), "tls_cert", Path())


def test_a_certificate_without_names_needs_domains() -> None:
    bare = issue()
    key, message = problem(bare.cert, bare.key)
    assert (key, message) == (
        "tls_cert",
        "the certificate names no host: domains must say what it is served for",
    )
    assert load_certificate(bare.cert, bare.key, "a.test", Path()).names == ("a.test",)


def test_doubts() -> None:
    now = datetime.now(UTC)
    loaded = load_certificate(LEAF.cert, LEAF.key, "", Path())
    assert list(doubts(loaded, 0, now)) == []
    [expired] = doubts(loaded, 0, now + timedelta(days=91))
    assert re.search(r"expired at \d{4}-\d\d-\d\d \d\d:\d\d UTC", expired)
    [early] = doubts(loaded, 0, now - timedelta(days=2))
    assert "is not valid before 2" in early
    assert next(iter(doubts(loaded, 0, now + timedelta(days=84)))).startswith(
        "the certificate expires"
    )
    assert next(iter(doubts(loaded, 91, now))).startswith("the certificate expires at ")
    stray = Issued(LEAF.certificate, LEAF.private, (ROOT.certificate,))
    (doubt,) = doubts(load_certificate(stray.cert, stray.key, "", Path()), 0, now)
    assert doubt.startswith("certificate 2 in it did not issue certificate 1")


def test_the_key_is_not_in_the_representation() -> None:
    loaded = load_certificate(LEAF.cert, LEAF.key, "", Path())
    assert repr(loaded).startswith("<Certificate a.example.com, ")
    assert b"PRIVATE" in loaded.pem


def test_a_pair_for_upstreams_names_its_own_keys() -> None:
    assert b"PRIVATE" in load_pair(LEAF.cert, LEAF.key, Path())
    with pytest.raises(CertificateError) as caught:
        load_pair(LEAF.cert, OTHER.key, Path())
    assert caught.value.key == "client_key"
    old = issue("a", days=(-2, -1))
    with pytest.raises(CertificateError, match="expired") as caught:
        load_pair(old.cert, old.key, Path())
    assert caught.value.key == "client_cert"


def test_keys_are_read_from_any_form_of_block() -> None:
    key = load_key(LEAF.key_in(PrivateFormat.TraditionalOpenSSL), "tls_key", Path())
    assert key.public_key() == LEAF.private.public_key()
