"""``pingap_context_keys``: operators use what plugins know of a request."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.check import check
from support.plugins import python_path, routes, write_distribution
from support.process import Process

from pingap.testing import Upstream

SOURCE = """
COUNTRY = ContextKey[str]("country", "unknown")
SCORE = ContextKey[object]("score")

class Geo(Plugin):
    category = "geo"

    @hookimpl
    def request(self, request, ctx):
        if "swiss" in request.query:
            ctx[COUNTRY] = "CH"
            ctx[SCORE] = 17
        if "odd" in request.query:
            ctx[COUNTRY], ctx[SCORE] = "a\\r\\nX-Evil: yes", True
        if "object" in request.query:
            ctx[SCORE] = object()


@hookimpl
def pingap_plugin_categories(): return [Geo]


@hookimpl
def pingap_context_keys(): return [COUNTRY, SCORE]
"""
POINTS = {"geo": "geo", "context_key:country": "geo", "context_key:score": "geo"}
HEADERS = 'proxy_set_headers = ["X-Country: $country", "X-Score: :score"]'
ACCESS = 'access_log = "{uri} {:country} {:score}"'


def test_hook_pingap_context_keys_name_values_for_logs_and_headers(
    tmp_path: Path, upstream: Upstream
) -> None:
    write_distribution(tmp_path / "site", "geo", SOURCE, POINTS)
    toml = routes(
        {"a": f"one\n{HEADERS}"},
        upstream.addr,
        server=ACCESS,
        more='[plugins.one]\ncategory = "geo"',
    )
    expected = {
        "swiss": ("CH", "17", "CH 17"),
        "none": ("unknown", None, "unknown "),
        "odd": (None, "true", " true"),
        "object": ("unknown", None, "unknown "),
    }
    env = {**python_path(tmp_path / "site"), "country": "of the environment"}
    with Process(toml, tmp_path / "proxy", env=env) as proxy, proxy.connect() as client:
        for query, (country, score, logged) in expected.items():
            assert client.get(f"/a/?{query}").status == 200
            request = upstream.requests[-1]
            assert request.header("x-country") == country
            assert request.header("x-score") == score
            assert request.header("x-evil") is None
            proxy.wait_for_log(f"/a/?{query} {logged}\n")


def test_a_key_is_found_without_its_plugin(tmp_path: Path, upstream: Upstream) -> None:
    write_distribution(tmp_path / "site", "geo", SOURCE, POINTS)
    toml = routes({"a": ""}, upstream.addr, server=ACCESS)
    env = python_path(tmp_path / "site")
    with Process(toml, tmp_path / "proxy", env=env) as proxy, proxy.connect() as client:
        assert client.get("/a/").status == 200
        proxy.wait_for_log("/a/ unknown \n")


@pytest.mark.parametrize(
    ("source", "key", "said"),
    [
        (SOURCE, '"X: $contry"', "$country"),
        (SOURCE, '"X: :contry"', "did you mean"),
        (
            SOURCE.replace('"country"', '"host"'),
            '"X: $score"',
            "geo cannot be loaded: ContextKey('host'): pingap itself has a variable of this name",
        ),
        (
            SOURCE.replace('"country"', '"Land"'),
            '"X: $score"',
            "ContextKey('Land'): its name must consist of a-z, 0-9 and _",
        ),
        (
            SOURCE.replace('"country"', '"score"'),
            '"X: $score"',
            "ContextKey('score'): there are two keys of this name",
        ),
    ],
)
def test_mistakes_are_configuration_errors(
    tmp_path: Path, source: str, key: str, said: str
) -> None:
    write_distribution(tmp_path / "site", "geo", source, POINTS)
    toml = f'[locations.a]\nproxy_set_headers = [{key}]\n[servers.web]\naddr = "127.0.0.1:0"\n'
    code, text = check(tmp_path, toml + 'locations = ["a"]\n')
    assert code == 2
    assert said in text
    assert text.startswith("p.toml:2: locations.a.proxy_set_headers")


def test_two_distributions_with_one_key_are_an_error(
    tmp_path: Path,
) -> None:
    write_distribution(tmp_path / "site", "geo", SOURCE, POINTS)
    other = SOURCE.replace('"geo"', '"other"')
    write_distribution(tmp_path / "site", "other", other, {"other": "other"})
    toml = '[plugins.a]\ncategory = "geo"\n[plugins.b]\ncategory = "other"\n'
    code, text = check(tmp_path, toml)
    assert code == 2
    # Which of them is loaded first is not said.
    assert " cannot be loaded: another distribution has a key called 'country'" in text
    write_distribution(tmp_path / "site", "third", SOURCE, {"context_key:country": "third"})
    code, text = check(
        tmp_path,
        '[servers.web]\naddr = "127.0.0.1:0"\naccess_log = "{:country}"\n',
    )
    assert code == 2
    assert "'context_key:country' is provided by several distributions: geo, third" in text
