"""The example in a real process of two workers: challenges in both, and an exchanged certificate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from support.certificates import issue
from support.h2 import H2Client, fields
from support.process import Process
from support.tls import TlsClient, client_context
from support.waiting import until

BEFORE = issue("site.test")
TOML = f"""
[basic]
threads = 2
[plugins.acme]
category = "python"
path = "{Path(__file__).with_name("acme_tokens.py")}"
certificate = "site"
domains = ["site.test", "www.site.test"]
[plugins.who]
category = "python"
path = "who.py"
[locations.all]
plugins = ["who"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
plugins = ["acme"]
global_certificates = true
enabled_h2 = true
{BEFORE.toml("site")}
"""
WHO = """
import os
from pingap import Plugin, Response, hookimpl

class Who(Plugin):
    @hookimpl
    def request(self):
        return Response(200, str(os.getpid()))
"""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Process]:
    (tmp_path / "who.py").write_text(WHO)
    with Process(TOML, tmp_path) as running:
        yield running


def connect(proxy: Process, protocol: str = "http/1.1", name: str = "site.test") -> TlsClient:
    context = client_context()
    context.set_alpn_protocols([protocol])
    return TlsClient(proxy, context, name)


def issuer(client: TlsClient) -> str:
    return x509.load_der_x509_certificate(client.peer).issuer.rfc4514_string()


def by_worker(proxy: Process, path: str = "") -> dict[str, tuple[str, bytes]]:
    """Return what each worker shows on a connection of HTTP/1.1: the issuer, and the body of a path."""
    found: dict[str, tuple[str, bytes]] = {}
    while len(found) < 2:
        with connect(proxy) as client:
            pid = client.get("/").body.decode()
            found[pid] = issuer(client), client.get(path).body if path else b""
    return found


def test_challenges_and_a_new_certificate_in_both_workers(proxy: Process) -> None:
    assert {one for one, _ in by_worker(proxy).values()} == {"CN=test"}
    with connect(proxy) as open_before:
        pid = open_before.get("/").body
        with connect(proxy) as client:
            assert client.request("POST", "/acme-order").status == 202
        until(lambda: {one for one, _ in by_worker(proxy).values()} == {"CN=acme-tokens"})
        token = re.search(r"token (\S+)", proxy.wait_for_log("token "))
        assert token
        path = f"/.well-known/acme-challenge/{token[1]}"
        answers = {body for _, body in by_worker(proxy, path).values()}
        assert answers == {f"{token[1]}.thumbprint".encode()}
        assert issuer(open_before) == "CN=test"
        assert open_before.get("/").body == pid
        with connect(proxy, name="www.site.test") as client:
            assert client.get("/.well-known/acme-challenge/unknown").status == 404
    assert over_http2(proxy) == {"CN=acme-tokens"}


def over_http2(proxy: Process) -> set[str]:
    """Return the issuers that both workers show on connections of HTTP/2."""
    found: dict[bytes, str] = {}
    while len(found) < 2:
        client = connect(proxy, "h2")
        assert client.sock.selected_alpn_protocol() == "h2"
        with H2Client(client) as h2:
            h2.headers(1, fields(scheme="https", authority="site.test"))
            found[h2.finish(1).body] = issuer(client)
    return set(found.values())
