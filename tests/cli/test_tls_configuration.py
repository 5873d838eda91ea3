"""What ``pingap -t`` says of certificates and TLS settings that cannot be used."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.certificates import Issued, issue
from support.check import check

GOOD = issue("a.test")
OTHER = issue("a.test")

SERVER = '[servers.web]\naddr = "127.0.0.1:0"\nglobal_certificates = true\n'


@pytest.fixture
def said(tmp_path: Path) -> Callable[..., list[str]]:
    """Check a configuration; return the lines but the last, which must say how many there are."""

    def said(toml: str, **env: str) -> list[str]:
        code, text = check(tmp_path, toml, env)
        lines = text.splitlines()
        assert code == (2 if lines[-1].endswith(("problem.", "problems.")) else 0), text
        return lines[:-1]

    return said


def certificate(cert: str, key: str, more: str = "") -> str:
    return f"[certificates.c]\ntls_cert = '''{cert}'''\ntls_key = '''{key}'''\n{more}\n"


def test_what_is_good(said: Callable[..., list[str]]) -> None:
    assert said(SERVER + certificate(GOOD.cert, GOOD.key)) == []


def test_several_mistakes_at_once_with_their_lines(said: Callable[..., list[str]]) -> None:
    toml = SERVER + (
        '[certificates.a]\ntls_cert = "none.pem"\ntls_key = "none.key"\n'
        '[certificates.b]\ntls_key = "x"\n'
        '[certificates.c]\ntls_cert = "x"\n'
    )
    expected = "expected PEM text, a file that exists, or base64 of PEM text"
    assert said(toml) == [
        f'p.toml:5: certificates.a.tls_cert: found "none.pem", {expected}',
        f"p.toml:6: certificates.a.tls_key: {expected}",
        "p.toml:7: certificates.b.tls_cert: is missing",
        f"p.toml:8: certificates.b.tls_key: {expected}",
        "p.toml:9: certificates.c.tls_key: is missing",
    ]


WRONG_KEYS = {
    "of another certificate": OTHER.key,
    "base64 of another": base64.b64encode(OTHER.key.encode()).decode(),
    "damaged": GOOD.key.replace("\n", "\nAAAA", 1),
    "cut": GOOD.key[:100],
    "no PEM": GOOD.key.replace("-----", "").replace("\n", ""),
}


@pytest.mark.parametrize("key", WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
def test_a_wrong_key_is_told_and_never_shown(said: Callable[..., list[str]], key: str) -> None:
    (line,) = said(SERVER + certificate(GOOD.cert, key))
    assert ": certificates.c.tls_key: " in line
    for part in key.split():
        for start in range(0, len(part) - 12, 12):
            assert part[start : start + 12] not in line or part.startswith(("-----", "PRIVATE"))


def test_expiry(said: Callable[..., list[str]]) -> None:
    def about(days: tuple[float, float], more: str = "") -> list[str]:
        issued = issue("a.test", days=days)
        return said(SERVER + certificate(issued.cert, issued.key, more))

    (line,) = about((-10, -1))
    assert "p.toml:5: certificates.c.tls_cert: the certificate expired at 2" in line
    (line,) = about((1, 10))
    assert "p.toml:5: certificates.c.tls_cert: the certificate is not valid before" in line
    (line,) = about((-1, 3))
    assert "the certificate expires at " in line
    assert about((-1, 20)) == []
    (line,) = about((-1, 20), "buffer_days = 30")
    assert "the certificate expires at " in line


def test_openssl_has_the_last_word(said: Callable[..., list[str]]) -> None:
    weak = issue("a.test", bits=1024)
    (line,) = said(SERVER + certificate(weak.cert, weak.key))
    assert line.endswith("certificates.c.tls_cert: OpenSSL rejects it: ee key too small")


def test_names_and_defaults_that_collide(said: Callable[..., list[str]]) -> None:
    two = GOOD.toml("one", "is_default = true") + OTHER.toml(
        "two", 'domains = "b.test"\nis_default = true'
    )
    assert [line.partition(": ")[2] for line in said(SERVER + two)] == [
        "certificates.two.is_default: certificates.one is the default already"
    ]
    two = GOOD.toml("one") + OTHER.toml("two")
    (line,) = said(SERVER + two)
    assert line.endswith(': certificates.two: "a.test" is served by certificates.one already')


def test_a_certificate_that_may_not_sign(said: Callable[..., list[str]]) -> None:
    (line,) = said(SERVER + certificate(GOOD.cert, GOOD.key, "is_ca = true"))
    assert "certificates.c.is_ca: the certificate is not one of an authority (CA:TRUE)" in line


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            'tls_min_version = "tlsv1.4"',
            'found "tlsv1.4", expected one of tlsv1.1, tlsv1.2, tlsv1.3; did you mean',
        ),
        (
            'tls_min_version = "tls1.3"\ntls_max_version = "tls1.2"',
            "tlsv1.2 is older than tlsv1.3, the oldest",
        ),
        ('tls_cipher_list = "NO-SUCH"', "OpenSSL knows none of these ciphers"),
        ('tls_handshake_timeout = "x"', "expected a duration"),
        ("tls_max_handshakes = 0", "expected"),
        (
            'tls_client_ca = "none"\ntls_verify_client = "require"',
            'found "none", expected PEM text, a file that exists, or base64 of PEM text',
        ),
        (
            "tls_client_ca = '-----BEGIN CERTIFICATE-----'\ntls_verify_client = \"optional\"",
            "cannot be used: ",
        ),
    ],
)
def test_settings(said: Callable[..., list[str]], setting: str, message: str) -> None:
    (line,) = said(SERVER + setting + "\n" + certificate(GOOD.cert, GOOD.key))
    assert line.startswith("p.toml:4: servers.web.") or "max_version" in line
    assert message in line


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="this Python can choose them")
def test_ciphersuites_that_this_python_cannot_choose(said: Callable[..., list[str]]) -> None:
    setting = 'tls_ciphersuites = "TLS_AES_128_GCM_SHA256"\n'
    (line,) = said(SERVER + setting + certificate(GOOD.cert, GOOD.key))
    this = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert f"servers.web.tls_ciphersuites: not supported by Python {this}, whose ssl module" in line


def test_upstreams(said: Callable[..., list[str]]) -> None:
    upstream = '[upstreams.u]\naddrs = ["127.0.0.1"]\nsni = "a"\n'

    def told(more: str) -> str:
        (line,) = said(upstream + more)
        return line.partition("upstreams.u.")[2]

    assert told('upstream_ca = "none"').startswith('upstream_ca: found "none", expected PEM')
    empty = "upstream_ca = '-----BEGIN CERTIFICATE-----'"
    assert told(empty).startswith("upstream_ca: cannot be used: ")

    def pair(cert: Issued, key: Issued) -> str:
        return f"client_cert = '''{cert.cert}'''\nclient_key = '''{key.key}'''\n"

    message = "client_key: the key does not belong to the certificate of client_cert"
    assert told(pair(GOOD, OTHER)) == message
    assert said(upstream + pair(GOOD, GOOD)) == []
    (line,) = said(upstream.replace('"a"', '".a"'))
    assert line == 'p.toml:3: upstreams.u.sni: ".a" is not the name of a host'


def test_without_cryptography(said: Callable[..., list[str]], tmp_path: Path) -> None:
    hidden = tmp_path / "site" / "cryptography.py"
    hidden.parent.mkdir()
    hidden.write_text("raise ImportError\n")
    needs = "needs the package cryptography: pip install 'pingap[tls]'"
    assert said(SERVER + certificate(GOOD.cert, GOOD.key)) == [f"p.toml:4: certificates.c: {needs}"]
    upstream = '[upstreams.u]\naddrs = ["127.0.0.1"]\nsni = "a"\n'
    assert said(upstream) == []
    both = f"client_cert = '''{GOOD.cert}'''\nclient_key = '''{GOOD.key}'''\n"
    assert said(upstream + both) == [f"p.toml:4: upstreams.u.client_cert: {needs}"]


def test_cryptography_is_not_imported_without_certificates(tmp_path: Path) -> None:
    import subprocess

    path = tmp_path / "p.toml"
    path.write_text('[servers.web]\naddr = "127.0.0.1:0"\n')
    script = (
        "import sys; from pingap.build.graph import build; from pingap.config import load;"
        "from pingap.build.registry import installed_registry; import pingap.worker.worker;"
        f"build(load({str(path)!r}), installed_registry()); sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
