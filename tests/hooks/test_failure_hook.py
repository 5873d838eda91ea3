"""``pingap_failure``: who collects failures gets each of them once, and can do no harm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.check import check
from support.plugins import installed, routes, write_distribution
from support.rig import unchecked

from pingap.testing import Proxy, Upstream

SOURCE = """
class Fails(Plugin):
    category = "fails"
    body = "reads"

    @hookimpl
    def request(self, request, ctx):
        if "phase" in request.query:
            raise ValueError("of a phase")
        if "core" in request.query:
            ctx.connection = None  # which pingap does not expect
        if "own-log" in request.query:
            try:
                raise KeyError("own")
            except KeyError:
                log.exception("a plugin logs")

    @hookimpl
    def response_body(self, request):
        return Filter() if "filter" in request.query else None

    def log_tags(self): return {"tag": self.tag}

    def tag(self, request, response, ctx):
        if "tag" in request.query:
            raise ValueError("of a tag")

    async def startup(self, tasks):
        tasks.start_soon(self.background)

    async def background(self):
        raise ValueError("in the background")

    @hookimpl
    def pingap_failure(self, failure):
        log.warning("method: %r", failure.error)


class Filter(BodyFilter):
    def feed(self, data): raise ValueError("of a filter")
    def end(self, trailers): return b""


@hookimpl
def pingap_plugin_categories(): return [Fails]


@hookimpl
def pingap_failure(failure):
    tail, frame = failure.error.__traceback__, None
    while tail is not None:
        tail, frame = tail.tb_next, tail.tb_frame.f_code.co_name
    log.warning("module: %r in %s, %s, %s, %s", failure.error, failure.where,
        failure.request and failure.request.path, failure.ctx and failure.ctx.location, frame)
    raise OSError("no network")
"""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("failures")
    write_distribution(folder / "site", "collect", SOURCE, {"fails": "collect"})
    server = 'access_log = "{uri} {:one.tag}"'
    with Upstream() as origin:
        more = '[plugins.one]\ncategory = "fails"'
        toml = routes({"a": "one"}, origin.addr, server=server, more=more)
        with installed(folder / "site"), unchecked(Proxy(toml)) as running:
            yield running


def passed(proxy: Proxy, error: str) -> tuple[int, int]:
    """Return how often a failure was passed to the distribution, and to the plugin."""
    text = re.escape(error)
    log = proxy.log
    return len(re.findall(f"module: {text}", log)), len(re.findall(f"method: {text}", log))


@pytest.mark.parametrize(
    ("query", "error", "function"),
    [
        ("phase", "ValueError('of a phase')", "request"),
        ("filter", "ValueError('of a filter')", "feed"),
        ("tag", "ValueError('of a tag')", "tag"),
    ],
)
def test_hook_pingap_failure_gets_each_of_a_plugin_once(
    proxy: Proxy, query: str, error: str, function: str
) -> None:
    for count in range(1, 4):  # (the log tells the first only)
        with proxy.connect() as client:
            client.send(
                f"GET /a/?{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
            )
            client.read_to_end()
        proxy.wait_for_log(f"module: {error} in one, /a/, a, {function}\n")
        assert passed(proxy, error) == (count, count)
    assert "collect (collect) failed in pingap_failure" in proxy.log
    assert passed(proxy, "OSError('no network')") == (0, 0)


def test_a_failure_in_the_background_has_no_request(proxy: Proxy) -> None:
    proxy.wait_for_log("module: ValueError('in the background') in one, None, None, background\n")


def test_a_defect_of_pingap_is_passed_on(proxy: Proxy) -> None:
    with proxy.connect() as client:
        client.send(b"GET /a/?core HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_to_end()
    log = proxy.wait_for_log("request ended because of a bug in pingap")
    found = re.findall(r"module: AttributeError\(.*\) in pingap\.\w+, /a/, a, \w+\n", log)
    assert len(found) == 1


def test_what_a_plugin_logs_by_itself_is_its_own(proxy: Proxy) -> None:
    with proxy.connect() as client:
        assert client.get("/a/?own-log").status == 200
    proxy.wait_for_log("a plugin logs")
    assert passed(proxy, "KeyError('own')") == (0, 0)


def test_a_hook_of_a_distribution_that_is_async_is_an_error(tmp_path: Path) -> None:
    source = SOURCE.replace("def pingap_failure(failure)", "async def pingap_failure(failure)")
    write_distribution(tmp_path / "site", "collect", source, {"fails": "collect"})
    toml = routes({"a": "one"}, "127.0.0.1:9", more='[plugins.one]\ncategory = "fails"')
    code, said = check(tmp_path, toml)
    assert code == 2
    assert "collect cannot be loaded: pingap_failure cannot be" in said
