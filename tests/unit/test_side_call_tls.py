"""TLS of side calls, against servers with certificates of their own."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from support.certificates import Issued, issue
from support.tls import TlsOrigin

from pingap import ClientTLS, HTTPClient, SideCallError


class Site:
    """A TLS server of ``service.test``, and the files around it."""

    def __init__(self, folder: Path) -> None:
        self.authority = issue(ca=True, common_name="authority")
        self.ca, _ = self.authority.write(folder, "ca")
        server = issue("service.test", by=self.authority)
        self.server = server.write(folder, "server")
        self.client: Issued = issue(by=self.authority, common_name="client")
        self.cert, self.key = self.client.write(folder, "client")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def origin(site: Site) -> Iterator[TlsOrigin]:
    with TlsOrigin(site.server) as running:
        yield running


def get(origin: TlsOrigin, *options: ClientTLS | None, uds: str | None = None) -> list[bytes]:
    """Make a call with each of some options, by one client; return the bodies."""

    async def use() -> list[bytes]:
        client = HTTPClient()
        host = "host" if uds else origin.addr
        try:
            return [
                (await client.request("GET", f"https://{host}/?s3cret", tls=tls, uds=uds)).body
                for tls in options
            ]
        finally:
            await client.close()

    return anyio.run(use)


def refusal(origin: TlsOrigin, tls: ClientTLS | None) -> str:
    with pytest.raises(SideCallError) as caught:
        get(origin, tls)
    text = str(caught.value)
    assert text.startswith(f"GET https://{origin.addr}/: ")
    return text


def test_an_authority_may_be_a_path_or_pem(site: Site, origin: TlsOrigin) -> None:
    name = "service.test"
    for ca in (site.ca, Path(site.ca), site.authority.cert, f"# für uns\n{site.authority.cert}"):
        assert get(origin, ClientTLS(ca=ca, server_name=name)) == [b"ok"]
    assert origin.names == [name] * 4


def test_only_what_the_authority_signed_is_trusted(site: Site, origin: TlsOrigin) -> None:
    other = issue(ca=True, common_name="other")
    for tls in (None, ClientTLS(server_name="service.test"), ClientTLS(other.cert)):
        assert "unable to get local issuer certificate" in refusal(origin, tls)
    assert origin.requests == []


def test_the_name_is_checked(site: Site, origin: TlsOrigin) -> None:
    assert "not valid for '127.0.0.1'" in refusal(origin, ClientTLS(ca=site.ca))
    tls = ClientTLS(ca=site.ca, server_name="other.test")
    assert "not valid for 'other.test'" in refusal(origin, tls)
    assert origin.requests == []


def test_without_verification_everything_is_accepted(origin: TlsOrigin) -> None:
    assert get(origin, ClientTLS(verify=False)) == [b"ok"]


def test_a_certificate_of_ours(site: Site, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(site.client.key + site.client.cert)
    with TlsOrigin(site.server, clients=site.authority) as origin:
        for cert, key in [
            (site.cert, site.key),
            (Path(site.cert), Path(site.key)),
            (site.client.cert, site.client.key),
            (both, None),
            (both.read_text(), None),
        ]:
            tls = ClientTLS(site.ca, cert, key, server_name="service.test")
            assert get(origin, tls) == [b"ok"]
        # (The server says why, and may reset the connection before that is read.)
        assert refusal(origin, ClientTLS(site.ca, server_name="service.test"))
        assert len(origin.requests) == 5


def test_tls_over_a_unix_socket(site: Site, tmp_path: Path) -> None:
    path = str(tmp_path / "service.sock")
    with TlsOrigin(site.server, path=path) as origin:
        tls = ClientTLS(ca=site.ca, server_name="service.test")
        assert get(origin, tls, uds=path) == [b"ok"]


def test_streams_are_encrypted_as_well(site: Site, origin: TlsOrigin) -> None:
    async def use() -> bytes:
        client = HTTPClient()
        tls = ClientTLS(ca=site.ca, server_name="service.test")
        async with client.stream("GET", f"https://{origin.addr}/", tls=tls) as answer:
            body = await answer.read()
        await client.close()
        return body

    assert anyio.run(use) == b"ok"


def test_equal_options_share_connections(site: Site, origin: TlsOrigin) -> None:
    def options(name: str = "service.test", *, verify: bool = True) -> ClientTLS:
        return ClientTLS(site.ca, site.cert, site.key, name, verify)

    assert options() == options()
    assert hash(options()) == hash(options())
    get(origin, options(), options())
    assert origin.connections == 1
    get(origin, options(verify=False), options("other.test", verify=False), options())
    assert origin.connections == 4


def test_a_renewed_certificate_is_another_one(site: Site, tmp_path: Path) -> None:
    before = ClientTLS(site.ca, site.cert, site.key)
    issue(by=site.authority, common_name="client").write(tmp_path, "client")
    after = ClientTLS(site.ca, site.cert, site.key)
    assert before != after


def test_files_are_read_when_options_are_made(site: Site, origin: TlsOrigin) -> None:
    tls = ClientTLS(site.ca, site.cert, site.key, "service.test")
    for name in (site.ca, site.cert, site.key):
        Path(name).unlink()
    assert get(origin, tls) == [b"ok"]


def test_options_that_cannot_be_used(site: Site, tmp_path: Path) -> None:
    other = issue(common_name="other")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    none = tmp_path / "none.pem"
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    for make, text in [
        (lambda: ClientTLS(ca=none), r"^ca: found .*, expected PEM text, a file"),
        (lambda: ClientTLS(ca=empty), "^ca: holds no certificate"),
        (lambda: ClientTLS(ca=broken), "^ca: cannot be used"),
        (lambda: ClientTLS(cert=site.cert), "^cert: holds no key; set key, too"),
        (lambda: ClientTLS(key=site.key), "^key: has no certificate; set cert, too"),
        (lambda: ClientTLS(cert=site.cert, key=other.key), "^cert: cannot be used"),
        (lambda: ClientTLS(cert=site.cert, key=none), "^key: expected PEM text, a file"),
        (lambda: ClientTLS(server_name="a b\0c"), "^server_name: .* is not the name of a host"),
    ]:
        with pytest.raises(ValueError, match=text):
            make()


def test_options_show_no_keys(site: Site) -> None:
    tls = ClientTLS(cert=site.client.cert, key=site.client.key, server_name="service.test")
    assert repr(tls) == "ClientTLS(server_name='service.test', verify=True)"


def test_connections_need_tls_1_2(site: Site) -> None:
    assert ClientTLS()._context.minimum_version >= ssl.TLSVersion.TLSv1_2
