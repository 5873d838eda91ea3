"""Phases of a server: before a location is found, for errors, and for requests that match nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.check import check
from support.plugins import serving, write_distribution
from support.rig import Rig

SOURCE = '''
class Door(Plugin):
    """Answers tokens on every host and path, moves what is old, and refuses one client."""

    category = "door"

    @hookimpl
    def server_request(self, request, ctx):
        assert ctx.location == ""
        if request.path.startswith("/.well-known/"):
            return Response.text(200, f"token for {request.host}")
        if request.path == "/old/":
            request.rewrite("/sound/", "moved=1")
        if request.path == "/refused/":
            raise HTTPError(403, "not you")
        if request.path == "/broken/":
            raise RuntimeError("secret")
        if request.path == "/frame/":
            request.content_length = 17


class LateDoor(Plugin):
    category = "late_door"

    @hookimpl
    async def server_request(self, request):
        await anyio.sleep(0.001)
        return Response.text(200, "late") if request.path == "/late/" else None


class Page(Plugin):
    category = "page"

    class Settings(PluginSettings):
        text: str

    def __init__(self, settings): self.text = settings.text

    @hookimpl
    def error_page(self, request, error, ctx):
        if error.status == 418:
            raise RuntimeError("secret of the page")
        if "no-page" in request.query:
            return None
        return Response.text(error.status, f"{self.text}: {error.status} {error.message}")


class Teapot(Plugin):
    category = "teapot"

    @hookimpl
    def request(self, request):
        raise HTTPError(int(request.query_value("status") or 418), "short")

    @hookimpl
    def response(self, response):
        response.headers.set("X-Seen", "1")


class Note(Plugin):
    category = "note"

    @hookimpl
    async def logging(self, request, response, ctx):
        status = None if response is None else response.status
        log.warning(
            "noted %s %s [%s] %s", request.path, status, ctx.location, ctx.outcome.name
        )


class Useless(Plugin):
    category = "useless"

    @hookimpl
    def request(self): ...
'''

PLUGINS = "".join(
    f'[plugins.{name}]\ncategory = "{name}"\n'
    for name in ("door", "late_door", "note", "teapot", "useless")
)
PLUGINS += "".join(
    f'[plugins.{name}_page]\ncategory = "page"\ntext = "{name}"\n' for name in ("server", "own")
)
LOCATIONS = {"sound": "", "teapot": "teapot", "own": "own_page teapot"}
SERVER = """
plugins = ["door", "late_door", "server_page", "note"]
prometheus_metrics = "/metrics"
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, SOURCE, LOCATIONS, more=PLUGINS, server=SERVER) as running:
        yield running


def test_a_server_plugin_answers_before_locations(rig: Rig) -> None:
    with rig.connect() as client:
        answer = client.get("/.well-known/acme")
        assert (answer.status, answer.body) == (200, b"token for test")
        assert client.get("/late/").body == b"late"
        assert client.get("/sound/").body == b"ok"
    assert "noted /.well-known/acme 200 [] COMPLETE" in rig.proxy.wait_for_log("noted /sound/")


def test_a_rewrite_decides_which_location_is_found(rig: Rig) -> None:
    with rig.connect() as client:
        assert client.get("/old/").body == b"ok"
    assert rig.origin.requests[-1].target == "/sound/?moved=1"


def test_a_server_plugin_refuses(rig: Rig) -> None:
    with rig.connect() as client:
        answer = client.get("/refused/")
    assert (answer.status, answer.body) == (403, b"server: 403 not you")


@pytest.mark.parametrize("path", ["/broken/", "/frame/"])
def test_a_server_plugin_that_fails_answers_500(rig: Rig, path: str) -> None:
    with rig.connect() as client:
        answer = client.get(path)
        assert (answer.status, answer.body) == (500, b"server: 500 Internal server error")
        assert client.get("/sound/").status == 200
    rig.proxy.wait_for_log("plugin door failed in server_request, ")


def test_what_matches_no_location_has_the_page_and_the_log_of_the_server(rig: Rig) -> None:
    with rig.connect() as client:
        answer = client.get("/nowhere/")
    assert (answer.status, answer.body[:11]) == (404, b"server: 404")
    rig.proxy.wait_for_log("noted /nowhere/ 404 [] COMPLETE")


def test_a_request_that_cannot_be_read_has_the_page_of_the_server(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        answer = client.answer()
    assert (answer.status, answer.body[:11]) == (400, b"server: 400")


def test_the_page_of_a_location_comes_before_that_of_the_server(rig: Rig) -> None:
    with rig.connect() as client:
        answer = client.get("/own/?status=409")
        assert (answer.status, answer.body) == (409, b"own: 409 short")
        assert answer.header("x-seen") == "1"
        answer = client.get("/teapot/?status=409")
        assert (answer.body, answer.header("x-seen")) == (b"server: 409 short", "1")


def test_the_page_of_pingap_is_the_last(rig: Rig) -> None:
    with rig.connect() as client:
        answer = client.get("/own/?status=409&no-page")
    assert answer.status == 409
    assert b"<h1>409 Conflict</h1>" in answer.body


def test_a_page_that_fails_is_replaced_by_that_of_pingap(rig: Rig) -> None:
    with rig.connect() as client:
        answer = client.get("/own/")
    assert answer.status == 418
    assert b"secret" not in answer.body
    rig.proxy.wait_for_log("plugin own_page failed in error_page, location own, at ")


def test_the_metrics_page_is_answered_before_locations(rig: Rig) -> None:
    with rig.connect() as client:
        assert b"pingap_http_requests" in client.get("/metrics").body
        assert client.request("POST", "/metrics", body=b"body").status == 200
        assert client.get("/sound/").status == 200


def test_a_plugin_without_a_phase_is_an_error(tmp_path: Path) -> None:
    write_distribution(tmp_path / "site", "idle", 'class Idle(Plugin):\n    category = "idle"\n')
    toml = '[plugins.x]\ncategory = "idle"\n[servers.web]\naddr = "127.0.0.1:0"\nplugins = ["x"]\n'
    assert check(tmp_path, toml) == (
        2,
        'p.toml:5: servers.web.plugins[0]: "x" has no phase\n1 problem.\n',
    )


def test_a_plugin_of_a_server_and_of_its_location_is_an_error(tmp_path: Path) -> None:
    toml = (
        '[locations.a]\nplugins = ["pingap:ping"]\n'
        '[servers.web]\naddr = "127.0.0.1:0"\nlocations = ["a"]\nplugins = ["pingap:ping"]\n'
    )
    assert check(tmp_path, toml) == (
        2,
        'p.toml:6: servers.web.plugins[0]: "pingap:ping" is listed by the location a, too: it would'
        " run twice\n1 problem.\n",
    )


def test_an_unknown_plugin_of_a_server_is_an_error(tmp_path: Path) -> None:
    toml = '[servers.web]\naddr = "127.0.0.1:0"\nplugins = ["pingap:requestID", "gone"]\n'
    assert check(tmp_path, toml) == (
        2,
        'p.toml:3: servers.web.plugins[0]: there is no built-in plugin "pingap:requestID"; '
        'did you mean "pingap:requestId"?\n'
        'p.toml:3: servers.web.plugins[1]: no plugin block is named "gone"\n2 problems.\n',
    )
