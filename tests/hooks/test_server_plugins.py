"""Phases of locations that plugins of a server have: they run in each of its locations, in front."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.check import check
from support.plugins import serving, write_distribution
from support.rig import Rig

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import parse

SOURCE = '''
class Order(Plugin):
    """Notes that it ran, in every kind of phase."""

    category = "order"
    body = "rewrites"
    adds_headers = ("X-Order",)

    class Settings(PluginSettings):
        word: str

    def __init__(self, settings): self.word = settings.word

    def note(self, ctx, phase):
        ctx.state.setdefault("order", []).append(f"{self.word}.{phase}")

    @hookimpl
    def early_request(self, request, ctx):
        request.headers.add("X-Order", self.word)
        self.note(ctx, "early")

    @hookimpl
    def request(self, request, ctx):
        self.note(ctx, "request")
        if request.query == f"answer={self.word}":
            return Response.text(200, self.word)

    @hookimpl
    def upstream_request(self, headers, ctx):
        headers.set("X-Seen", " ".join(ctx.state["order"]))

    @hookimpl
    def response(self, response, ctx):
        self.note(ctx, "response")
        response.headers.set("X-Ran", " ".join(ctx.state["order"]))

    @hookimpl
    def response_body(self):
        return Tail(self.word)

    @hookimpl
    def logging(self, request, ctx):
        log.warning("%s logged %s", self.word, request.path)


class Tail(BodyFilter):
    def __init__(self, word): self.word = word
    def feed(self, chunk): return chunk
    def end(self, trailers): return b"+" + self.word.encode()
'''
PLUGINS = "".join(
    f'[plugins.{word}]\ncategory = "order"\nword = "{word}"\n'
    for word in ("first", "second", "own")
)
OTHER = '[servers.plain]\naddr = "127.0.0.1:0"\nlocations = ["a", "b"]\n'


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("order")
    server = 'plugins = ["first", "second"]'
    locations = {"a": "own", "b": "\nplugin_timing = true"}
    with serving(folder, SOURCE, locations, server=server, more=PLUGINS + OTHER) as running:
        yield running


def ran(words: str) -> str:
    phases = ("early", "request", "response")
    return " ".join(f"{word}.{phase}" for phase in phases for word in words.split())


def test_they_run_in_each_location_in_front_of_its_own(rig: Rig) -> None:
    with rig.connect() as client:
        for path, words in (("/a/", "first second own"), ("/b/", "first second")):
            answer = client.get(path)
            assert answer.header("X-Ran") == ran(words)
            assert answer.body.decode().endswith("".join(f"+{word}" for word in words.split()))


def test_a_location_is_as_it_was_in_a_server_without_plugins(rig: Rig) -> None:
    with rig.proxy.connect("plain") as client:
        assert client.get("/a/").header("X-Ran") == ran("own")
        assert client.get("/b/").header("X-Ran") is None


def test_they_can_answer(rig: Rig) -> None:
    with rig.connect() as client:
        answer = client.get("/a/?answer=second")
        assert answer.body == b"second+first+second+own"
        assert "own.request" not in answer.header("X-Ran")


def test_phases_of_servers_run_once(rig: Rig) -> None:
    with rig.connect() as client:
        client.get("/b/?once")
        client.get("/a/?last")
    rig.proxy.wait_for_log("first logged /a/")
    log = rig.proxy.log
    assert log.count("first logged /b/") == log.count("second logged /b/")


def test_a_client_cannot_send_what_they_add(rig: Rig) -> None:
    with rig.connect() as client:
        client.get("/b/", headers={"X-Order": "forged"})
    request = rig.origin.requests[-1]
    assert [value for name, value in request.headers if name == "X-Order"] == ["first", "second"]


def test_chains_are_shared_where_they_are_equal_and_free_if_unused() -> None:
    toml = "".join(f'[locations.{name}]\npath = "/{name}"\nplugins = ["x"]\n' for name in "ab")
    toml += '[plugins.x]\ncategory = "response_headers"\n[plugins.y]\ncategory = "request_id"\n'
    for name, plugins in (("plain", []), ("one", ["y"]), ("two", ["y"])):
        toml += (
            f'[servers.{name}]\naddr = "127.0.0.1:0"\nlocations = ["a", "b"]\nplugins = {plugins}\n'
        )
    runtime = build(parse(toml), installed_registry())
    runtime.log_files.close()

    def found(server: str, path: str):
        match = runtime.servers[server].router.match("", path, None)  # type: ignore[arg-type]
        assert match is not None
        return match[0]

    assert found("plain", "/a") is runtime.locations["a"]
    assert found("one", "/a").chains is found("one", "/b").chains is found("two", "/b").chains
    assert found("one", "/a").chains is not runtime.locations["a"].chains
    assert found("one", "/a").stats is runtime.locations["a"].stats


def test_an_order_that_defeats_a_guard_is_told(tmp_path: Path) -> None:
    source = """
class Guard(Plugin):
    category = "guard"
    guard = True

    @hookimpl
    def request(self) -> None: pass


class Answer(Plugin):
    category = "answer"

    @hookimpl
    def request(self): return Response.text(200, "x")
"""
    write_distribution(tmp_path / "site", "guards", source)
    toml = (
        '[plugins.guard]\ncategory = "guard"\n[plugins.answer]\ncategory = "answer"\n'
        '[locations.a]\nplugins = ["guard"]\n'
        '[servers.web]\naddr = "127.0.0.1:0"\nlocations = ["a"]\nplugins = ["answer"]\n'
    )
    code, said = check(tmp_path, toml)
    assert code == 0
    told = '"answer" may answer before the guard "guard" is asked'
    assert said.startswith(f"warning: p.toml:10: servers.web.plugins: {told}")
    assert "answers every request with 503" not in said


def test_building_makes_no_reference_cycles_with_them() -> None:
    names = [f"l{number}" for number in range(200)]
    toml = '[plugins.y]\ncategory = "request_id"\n[servers.web]\naddr = "127.0.0.1:0"\n'
    toml += f'plugins = ["y"]\nlocations = {names}\n'
    toml += "".join(f'[locations.{name}]\npath = "/{name}"\nupstream = "u"\n' for name in names)
    toml += '[upstreams.u]\naddrs = ["127.0.0.1:9"]\n'
    registry = installed_registry()
    first = build(parse(toml), registry)
    gc.collect()
    gc.disable()
    try:
        build(parse(toml), registry, previous=first)
        assert gc.collect() < len(names)
    finally:
        gc.enable()
        first.log_files.close()
