"""A reload that asks clients for more: connections from before end, after the request under way."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from threading import Event

import pytest
from support import h2
from support.certificates import issue
from support.h2 import H2Client, fields
from support.process import Process
from support.rig import configure
from support.tls import TlsClient, client_context
from support.waiting import until

from pingap.http.forwarding import Family
from pingap.http.paths import NORMALISED, PathRules
from pingap.testing import Client, Served, Upstream
from pingap.tls.options import TlsOptions
from pingap.worker.rights import Rights

LEAF = issue("a.test", common_name="leaf")
CLIENTS = issue(ca=True, common_name="clients")
TLS = "global_certificates = true\nenabled_h2 = true\n"


def asking(how: str, authority: str = CLIENTS.cert) -> str:
    return f"{TLS}tls_verify_client = '{how}'\ntls_client_ca = '''{authority}'''\n"


@dataclass
class Site:
    proxy: Process
    origin: Upstream
    asked: Event
    answer: Event

    def connect(self, *protocols: str) -> TlsClient:
        context = client_context()
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return TlsClient(self.proxy, context, "a.test")

    def change(self, **settings: str) -> None:
        settings.setdefault("more", LEAF.toml("leaf", "is_default = true"))
        temporary = self.proxy.conf.with_suffix(".new")
        temporary.write_text(configure(self.origin.addr, **settings))
        temporary.replace(self.proxy.conf)
        before = self.proxy.log.count("was reloaded")
        self.proxy.process.send_signal(signal.SIGHUP)
        until(lambda: self.proxy.log.count("was reloaded") > before, self.proxy.log)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    asked, answer = Event(), Event()

    def script(served: Served) -> None:
        while (request := served.read_request()) is not None:
            if request.target == "/slow":
                asked.set()
                answer.wait(10)
            served.respond()

    with ExitStack() as stack:

        def start(**settings: str) -> Site:
            settings.setdefault("more", LEAF.toml("leaf", "is_default = true"))
            origin = stack.enter_context(Upstream(script))
            toml = configure(origin.addr, **settings)
            proxy = stack.enter_context(Process(toml, tmp_path))
            return Site(proxy, origin, asked, answer)

        yield start
        answer.set()


def test_a_connection_without_a_certificate_ends_once_one_is_required(
    start: Callable[..., Site],
) -> None:
    site = start(server=asking("optional"))
    with site.connect() as idle, site.connect() as busy, H2Client(site.connect("h2")) as second:
        assert idle.get("/").status == 200
        busy.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert site.asked.wait(10)
        second.headers(1, fields("GET", "/slow"))
        second.send(h2.frame(h2.PING, 0, 0, bytes(8)))
        second.read_until(h2.PING)
        site.change(server=asking("require"))
        assert idle.is_closed()
        site.answer.set()
        answer = busy.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert busy.is_closed()
        assert second.finish(1).status == 200
        assert second.goaway() == h2.NO_ERROR
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)), site.connect() as client:
        client.get("/")


def test_a_proxy_that_is_not_trusted_any_more_has_to_connect_again(
    start: Callable[..., Site],
) -> None:
    location = 'proxy_set_headers = ["X-Seen: $client_ip"]'
    names = {"location": location, "more": ""}
    site = start(basic='trusted_proxies = ["127.0.0.1", "192.0.2.1"]', **names)

    def seen(client: Client) -> str | None:
        assert client.get("/", headers={"X-Forwarded-For": "198.51.100.7"}).status == 200
        return site.origin.requests[-1].header("x-seen")

    with site.proxy.connect() as client:
        assert seen(client) == "198.51.100.7"
        site.change(basic='trusted_proxies = ["127.0.0.1", "192.0.2.0/24", "192.0.2.1"]', **names)
        assert seen(client) == "198.51.100.7", "more trust changes nothing"
        site.change(basic='trusted_proxies = ["192.0.2.1"]', **names)
        assert client.is_closed()
    with site.proxy.connect() as client:
        assert seen(client) == "127.0.0.1"


def test_paths_are_read_in_another_way_on_new_connections_only(start: Callable[..., Site]) -> None:
    guard = """
[plugins.deny]
category = "mock"
status = 403
[locations.guard]
path = "/admin"
plugins = ["deny"]
"""
    names = {"more": guard, "locations": '"guard", '}
    site = start(server='path_matching = "raw"', **names)
    with site.proxy.connect() as client:
        assert client.get("//admin").status == 200
        site.change(server="", **names)
        assert client.is_closed()
    with site.proxy.connect() as client:
        assert client.get("//admin").status == 403
        assert client.get("/a%2fb").status == 400
        site.change(
            server='allow_in_paths = ["encoded_slash"]\nforward_path = "normalised"', **names
        )
        assert client.is_closed()
    with site.proxy.connect() as client:
        assert client.get("//a%2fb").status == 200
        assert site.origin.requests[-1].target == "/a/b"


def test_other_fields_of_trusted_proxies_are_believed_on_new_connections(
    start: Callable[..., Site],
) -> None:
    trusted = 'trusted_proxies = ["127.0.0.1"]\ntrusted_forwarding = '
    names = {"location": 'proxy_set_headers = ["X-Seen: $client_ip"]', "more": ""}
    site = start(basic=f'{trusted}"x-forwarded"', **names)

    def seen(client: Client) -> str | None:
        fields = {"X_Forwarded_For": "198.51.100.7", "Forwarded": "for=198.51.100.8"}
        assert client.get("/", headers=fields).status == 200
        return site.origin.requests[-1].header("x-seen")

    with site.proxy.connect() as client:
        assert seen(client) == "198.51.100.7"
        site.change(basic=f'{trusted}"forwarded"', **names)
        assert client.is_closed()
    with site.proxy.connect() as client:
        assert seen(client) == "198.51.100.8"


def rights(
    *trusted: str,
    forwarding: Family = "any",
    header: bool = False,
    paths: PathRules = NORMALISED,
    verify: str | None = None,
    ca: str = "",
) -> Rights:
    options = None if verify is None else TlsOptions(verify_client=verify, client_ca=ca)
    return Rights(tuple(map(ip_network, trusted)), forwarding, header, paths, options)


@pytest.mark.parametrize(
    ("before", "after", "fewer"),
    [
        (rights(), rights(), False),
        (rights(), rights("10.0.0.0/8"), False),
        (rights("10.0.0.0/8"), rights(), True),
        (rights("10.0.0.0/8"), rights("::/0"), True),
        (rights("10.0.0.0/8"), rights("10.0.0.0/8", header=True), True),
        (rights("10.0.0.0/8", header=True), rights("10.0.0.0/8"), True),
        (rights(), rights(forwarding="forwarded"), True),
        (rights(paths=PathRules(raw=True)), rights(), True),
        (rights(), rights(verify="off"), True),
        (rights(verify="off"), rights(), False),
        (rights(verify="off"), rights(verify="optional"), True),
        (rights(verify="require", ca="a"), rights(verify="optional", ca="a"), False),
        (rights(verify="require", ca="a"), rights(verify="require", ca="b"), True),
        (rights(verify="off", ca="a"), rights(verify="off", ca="b"), False),
    ],
)
def test_what_takes_rights_away(before: Rights, after: Rights, fewer: bool) -> None:
    assert after.are_fewer_than(before) is fewer
