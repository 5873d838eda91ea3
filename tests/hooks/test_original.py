"""``ctx.original``: what the client asked for, whatever plugins make of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.h2 import H2Client, fields
from support.plugins import installed, write_distribution
from support.rig import Rig, configure

from pingap.testing import Proxy, Upstream

SOURCE = """
class Changes(Plugin):
    category = "changes"

    @hookimpl
    def early_request(self, request):
        request.rewrite("/other" + request.path, "n=1")
        request.method = "PUT"
        request.host = "changed"
        request.headers["Host"] = "changed"
        request.headers["X-Forwarded-Proto"] = "http"

    @hookimpl
    def response(self, ctx, request, response):
        one = ctx.original
        response.headers["X-Original"] = f"{one.method} {one.scheme} {one.host} {one.target}"
        response.headers["X-Now"] = f"{request.method} {request.host} {request.target}"
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("proxy")
    write_distribution(folder / "site", "test_plugins", SOURCE)
    with Upstream() as origin:
        toml = configure(
            origin.addr,
            basic='trusted_proxies = ["127.0.0.1"]',
            server='enabled_h2 = true\naccess_log = "{method} {uri} was {:original_uri}"',
            location='plugins = ["changes"]\nproxy_set_headers = ["X-Original-Uri: :original_uri"]',
            more='[plugins.changes]\ncategory = "changes"\n',
        )
        with installed(folder / "site"), Proxy(toml) as proxy:
            yield Rig(proxy, origin)


EXPECTED = "POST https shop.test //a/%62/caf\u00e9?q"
NOW = "PUT changed /other/a/b/caf%C3%A9?n=1"


def test_the_original_stays_readable(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(
            "POST //a/%62/caf\u00e9?q HTTP/1.1\r\nHost: Shop.test:8080\r\n"
            "X-Forwarded-Proto: https\r\nContent-Length: 0\r\n\r\n".encode()
        )
        answer = client.answer()
    assert answer.header("x-now") == NOW
    assert answer.header("x-original") == EXPECTED.encode().decode("latin-1")
    received = rig.origin.requests[-1]
    assert (received.method, received.target) == ("PUT", "/other/a/b/caf%C3%A9?n=1")
    assert received.header("x-original-uri") == "//a/%62/caf\u00e9?q".encode().decode("latin-1")
    rig.proxy.wait_for_log(r"PUT /other/a/b/caf%C3%A9?n=1 was //a/%62/caf")


def test_the_original_over_http2(rig: Rig) -> None:
    head = fields(
        "POST", "//a/%62/caf\u00e9?q", ("x-forwarded-proto", "https"), authority="SHOP.test."
    )
    with H2Client(rig.proxy) as client:
        client.headers(1, head)
        answer = client.finish(1)
    assert answer.header("x-now") == NOW
    assert (answer.header("x-original") or "").startswith("POST https shop.test //a/%62/caf")
