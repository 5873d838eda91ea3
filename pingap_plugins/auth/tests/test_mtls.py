"""``mtls`` as clients with certificates see it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client_certificates import Issued, TlsClient, issue
from cryptography import x509

from pingap.testing import Answer, Clock, Proxy, Upstream, configuration_problems

MISSING = (403, "A client certificate is required")
WRONG = (403, "This client certificate is not accepted")
CLIENTS = issue("Clients")
SERVER = issue("a.test", x509.DNSName("a.test"))
ALICE = issue(
    "alice",
    x509.DNSName("alice.example"),
    x509.UniformResourceIdentifier("spiffe://prod/web,DNS:root.example"),
    x509.RFC822Name("alice@shop.example"),
    by=CLIENTS,
    organization="Shop, Inc",
)
BOB = issue("bob", by=CLIENTS)

TOML = """
[certificates.web]
tls_cert = "{folder}/server.pem"
tls_key = "{folder}/server.key"

[plugins.door]
category = "mtls"
{keys}

[upstreams.u]
addrs = ["{upstream}"]

[locations.l]
upstream = "u"
plugins = ["door"]

[servers.web]
addr = "127.0.0.1:0"
locations = ["l"]
global_certificates = true
tls_verify_client = "{verify}"
{ca}
access_log = "[{{:user}}] {{:door.failure}} {{status}}"

[servers.plain]
addr = "127.0.0.1:0"
locations = ["l"]
"""


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.text


class Site:
    """A proxy, and clients with certificates."""

    def __init__(self, proxy: Proxy, folder: Path) -> None:
        self.proxy, self.folder = proxy, folder

    def get(self, own: Issued | None = ALICE, target: str = "/", headers: Any = ()) -> Answer:
        with self.connect(own) as client:
            return client.get(target, headers=headers)

    def connect(self, own: Issued | None = ALICE) -> TlsClient:
        files = own.write(self.folder, "own") if own is not None else None
        address = self.proxy.address("web")
        assert isinstance(address, tuple)
        return TlsClient(address, files)


@pytest.fixture
def start(
    start_proxy: Callable[..., Proxy], tmp_path: Path, upstream: Upstream
) -> Callable[..., Site]:
    SERVER.write(tmp_path, "server")
    CLIENTS.write(tmp_path, "clients")

    def starting(keys: str = "", verify: str = "optional") -> Site:
        ca = f'tls_client_ca = "{tmp_path}/clients.pem"' if verify != "off" else ""
        toml = TOML.format(folder=tmp_path, upstream=upstream.addr, keys=keys, verify=verify, ca=ca)
        return Site(start_proxy(toml), tmp_path)

    return starting


def test_any_verified_certificate(start: Callable[..., Site], upstream: Upstream) -> None:
    site = start()
    assert site.get(ALICE).status == 200
    assert site.get(BOB).status == 200
    assert told(site.get(None)) == MISSING
    assert len(upstream.requests) == 2
    assert site.proxy.access_log == ["[alice]  200", "[bob]  200", "[] missing 403"]


def test_no_certificate_without_tls_or_where_none_is_asked_for(
    start: Callable[..., Site], upstream: Upstream
) -> None:
    site = start(verify="off")
    assert told(site.get(ALICE)) == MISSING
    with site.proxy.connect("plain") as client:
        headers = {
            "X-SSL-Client-Verify": "SUCCESS",
            "Client-Cert": ":AAAA:",
            "X-Client-DN": "CN=alice",
        }
        assert told(client.get("/", headers=headers)) == MISSING
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("keys", "alice", "bob"),
    [
        ('common_names = ["alice"]', 200, 403),
        ('common_names = ["Alice", "alic", "alice,O=x"]', 403, 403),
        ('subjects = ["CN=alice,O=Shop\\\\, Inc"]', 200, 403),
        ('subjects = ["CN=alice"]', 403, 403),
        ('subjects = ["CN=bob"]\ncommon_names = ["alice"]', 200, 200),
        ('names = ["DNS:alice.example"]', 200, 403),
        ('names = ["email:alice@shop.example"]', 200, 403),
        ('names = ["URI:spiffe://prod/*"]', 200, 403),
        ('names = ["URI:spiffe://test/*", "DNS:root.example"]', 403, 403),
        ('fingerprints = ["{PRINT}"]', 403, 200),
        ('fingerprints = ["{print}"]\nnames = ["DNS:*"]', 200, 200),
        ('revoked = ["{print}"]', 200, 403),
        ('common_names = ["bob"]\nrevoked = ["{print}"]', 403, 403),
    ],
)
def test_lists(
    start: Callable[..., Site], upstream: Upstream, keys: str, alice: int, bob: int
) -> None:
    keys = keys.replace("{print}", BOB.fingerprint)
    site = start(keys.replace("{PRINT}", BOB.fingerprint.upper()))
    assert [site.get(ALICE).status, site.get(BOB).status] == [alice, bob]
    if bob == 403:
        assert told(site.get(BOB)) == WRONG
    assert len(upstream.requests) == (alice, bob).count(200)


def test_headers_for_the_upstream(start: Callable[..., Site], upstream: Upstream) -> None:
    site = start(
        'headers = { "X-Subject" = "subject", "X-Name" = "common_name", "X-Names" = "names", '
        '"X-Print" = "fingerprint" }'
    )
    forged = [
        ("X-Subject", "CN=root"),
        ("x-NAME", "root"),
        ("X-Print", "1"),
        ("X-Names", "DNS:root"),
        ("X_Subject", "CN=root"),  # which applications of CGI and WSGI read as X-Subject
        ("x_print", "1"),
    ]
    site.get(ALICE, headers=forged)
    site.get(BOB, headers=forged)
    alice, bob = upstream.requests
    assert alice.headers.get_all("x-subject") == ["CN=alice,O=Shop\\, Inc"]
    assert alice.headers.get_all("x-name") == ["alice"]
    assert alice.headers.get_all("x-print") == [ALICE.fingerprint]
    assert alice.headers.get_all("x-names") == [
        "DNS:alice.example,URI:spiffe://prod/web\\2CDNS:root.example,email:alice@shop.example"
    ]
    assert bob.headers.get_all("x-names") == [""]
    assert not any("_" in name for request in (alice, bob) for name, _ in request.headers)


def test_files_of_fingerprints(start: Callable[..., Site], tmp_path: Path) -> None:
    accepted = tmp_path / "accepted"
    colons = ":".join(ALICE.fingerprint[at : at + 2] for at in range(0, 64, 2)).upper()
    accepted.write_text(f"# the shop\nsha256 Fingerprint={colons}  # alice\n")
    site = start(f'fingerprints_file = "{accepted}"')
    assert [site.get(ALICE).status, site.get(BOB).status] == [200, 403]
    accepted.write_text(f"{ALICE.fingerprint}\n{BOB.fingerprint}\n")
    site.proxy.wait_for_log("was read again")
    assert site.get(BOB).status == 200


def test_a_certificate_that_is_revoked_on_an_open_connection(
    start: Callable[..., Site], tmp_path: Path
) -> None:
    revoked = tmp_path / "revoked"
    revoked.write_text("")
    site = start(f'revoked_file = "{revoked}"')
    with site.connect(BOB) as client:
        assert client.get("/").status == 200
        revoked.write_text(BOB.fingerprint)
        site.proxy.wait_for_log("was read again")
        assert told(client.get("/")) == WRONG


def test_a_certificate_that_expires_on_an_open_connection(
    start: Callable[..., Site], clock: Clock
) -> None:
    site = start()
    late = issue("late", by=CLIENTS, days=20 / 86400)
    with site.connect(late) as client:
        assert client.get("/").status == 200
        clock.advance(30)
        assert told(client.get("/")) == WRONG


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ('names = ["alice.example"]', "expected a name such as"),
        ('fingerprints = ["ab12"]', "expected the SHA-256 of a certificate"),
        ('revoked = ["zz"]', "expected the SHA-256 of a certificate"),
        ('headers = { "X-A" = "serial" }', "headers"),
        ('headers = { "X A" = "subject" }', "is not a header name"),
        ('revoked_file = "{tmp}/bad"', "bad, line 2: expected the SHA-256"),
        ('revoked_file = "{tmp}/none"', "cannot be read"),
        ("fail_open = true", "fail_open"),
    ],
)
def test_mistakes(tmp_path: Path, keys: str, reason: str) -> None:
    (tmp_path / "bad").write_text(f"{ALICE.fingerprint}\nnonsense\n")
    toml = f'[plugins.p]\ncategory = "mtls"\n{keys}\n'.replace("{tmp}", str(tmp_path))
    found = configuration_problems(toml)
    assert any(reason in one for one in found), found
