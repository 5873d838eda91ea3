"""What plugins keep with a request, and what they do to its response: keys, timing, no answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.plugins import serving
from support.rig import Rig

from pingap.testing.http2 import Http2Client

SOURCE = """
COUNTRY = ContextKey[str]("country", "unknown")
VISITS = ContextKey[int]("visits")


class Find(Plugin):
    category = "find"

    @hookimpl
    def request(self, request, ctx):
        if request.query == "known":
            ctx[COUNTRY] = "CH"
        ctx.timing("geo.lookup", 0.002)
        ctx.timing("geo.lookup", 0.001, "two of 2.5")
        if request.query == "bad":
            ctx.timing("a b", 1)
        if request.query == "drop":
            return Response.drop()


class Show(Plugin):
    category = "show"

    @hookimpl
    def response(self, response, ctx):
        response.headers.set("X-Country", ctx[COUNTRY])
        response.headers.set("X-Known", str(COUNTRY in ctx))
        try:
            ctx[VISITS]
        except KeyError as error:
            response.headers.set("X-Visits", str(error))

    @hookimpl
    def logging(self, request, ctx):
        log.warning("ended %s %s %s", request.query, ctx.status, ctx.outcome.name)
"""
PLUGINS = '[plugins.find]\ncategory = "find"\n[plugins.show]\ncategory = "show"\n'
SERVER = "enable_server_timing = true\nenabled_h2 = true\n"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("context")
    with serving(folder, SOURCE, {"a": "find show"}, more=PLUGINS, server=SERVER) as running:
        yield running


def test_a_key_carries_a_value_from_plugin_to_plugin(rig: Rig) -> None:
    with rig.connect() as client:
        answer = client.get("/a/?known")
        assert (answer.header("x-country"), answer.header("x-known")) == ("CH", "True")
        answer = client.get("/a/")
        assert (answer.header("x-country"), answer.header("x-known")) == ("unknown", "False")
        assert answer.header("x-visits") == "'visits'"


def test_timings_of_plugins_add_up_in_server_timing(rig: Rig) -> None:
    with rig.connect() as client:
        timing = client.get("/a/").header("server-timing") or ""
        assert ', geo.lookup;dur=3.000;desc="two of 2.5", total;dur=' in timing
        assert client.get("/a/?bad").status == 500


def test_a_dropped_request_gets_no_byte(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(b"GET /a/?drop HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.read_to_end() == b""
    rig.proxy.wait_for_log("ended drop 444 ")


def test_a_dropped_request_of_http2_costs_only_its_stream(rig: Rig) -> None:
    with Http2Client(("127.0.0.1", rig.proxy.port("web"))) as client:
        with pytest.raises(AssertionError, match="ended without an answer"):
            client.get("/a/?drop")
        assert client.get("/a/").status == 200
