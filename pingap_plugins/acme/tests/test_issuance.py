"""Certificates of a real authority (pebble), ordered and served by a real proxy."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from pebble import Pebble, pebble

from pingap.testing import Proxy


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    with pebble(tmp_path_factory.mktemp("pebble"), {"PEBBLE_WFE_NONCEREJECT": "30"}) as found:
        yield found


def served(port: int, name: str) -> x509.Certificate | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as sock,
            context.wrap_socket(sock, server_hostname=name) as tls,
        ):
            return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
    except ssl.SSLError:
        return None


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_a_domain_becomes_a_site_with_https(
    proxy: Proxy, authority: Pebble, tmp_path: Path, challenge: str
) -> None:
    name = f"{challenge}.example.com"
    proxy.configure(
        "certificates.site",
        domains=f"{name}, WWW.{name}",
        acme=authority.url,
        acme_ca_file=str(authority.ca_file),
        acme_challenges=[challenge],
        acme_http_port=authority.http_port,
        acme_storage=str(tmp_path / "acme"),
    )
    proxy.configure(
        "servers.secure",
        addr=f"127.0.0.1:{authority.tls_port}",
        global_certificates=True,
        locations=[],
    )
    proxy.start()
    assert served(proxy.port("secure"), name) is None
    proxy.lead()
    proxy.wait_for_log("serving a certificate for")
    found = served(proxy.port("secure"), name)
    assert found is not None
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {name, f"www.{name}"}


PROGRAM = """#!/bin/sh
set -e
case "$1" in
    add) curl -sf http://127.0.0.1:{port}/set-txt -d "{{\\"host\\": \\"$2.\\", \\"value\\": \\"$3\\"}}";;
    remove) curl -sf http://127.0.0.1:{port}/clear-txt -d "{{\\"host\\": \\"$2.\\"}}";;
esac
echo "$@" >> {calls}
"""


def test_a_wildcard_is_proved_by_dns(proxy: Proxy, authority: Pebble, tmp_path: Path) -> None:
    program, calls = tmp_path / "dns.sh", tmp_path / "calls"
    program.write_text(PROGRAM.format(port=authority.dns_management, calls=calls))
    program.chmod(0o700)
    proxy.configure(
        "certificates.site",
        domains="*.wild.example.com",
        acme=authority.url,
        acme_ca_file=str(authority.ca_file),
        acme_storage=str(tmp_path / "acme"),
        dns_challenge=True,
        dns_provider="exec",
        dns_service_url=str(program),
        dns_resolvers=[f"127.0.0.1:{authority.dns}"],
    )
    proxy.configure("servers.secure", addr="127.0.0.1:0", global_certificates=True, locations=[])
    proxy.start()
    proxy.lead()
    proxy.wait_for_log("serving a certificate for")
    assert served(proxy.port("secure"), "shop.wild.example.com") is not None
    assert served(proxy.port("secure"), "wild.example.com") is None
    added, removed = calls.read_text().splitlines()
    assert added.startswith("add _acme-challenge.wild.example.com ")
    assert removed == added.replace("add", "remove")
