"""Environment variables in the strings of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from pingap import ByteSize, PluginSettings, Secret
from pingap.config import Config, ConfigError, Surroundings, parse
from pingap.config.changes import changes_between, changes_text
from pingap.config.environment import as_written, validated
from pingap.config.masking import masked
from pingap.config.reuse import plugin_digest
from pingap.testing import Proxy, Upstream

BASE = """
[servers.web]
addr = "127.0.0.1:80"
locations = ["app"]
[upstreams.app]
addrs = ["127.0.0.1:9"]
[locations.app]
upstream = "app"
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NAME": "joe", "NUMBER": "3", "EMPTY": "", "ON": "true"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NONE", "ID"):
        monkeypatch.delenv(name, raising=False)


def remark(text: str) -> str:
    config = parse(f"{BASE}remark = '''{text}'''\n")
    return config.locations["app"].remark or ""


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("$ENV:NAME", "joe"),
        ("${NAME}", "joe"),
        ("a-${NAME}-${NUMBER}", "a-joe-3"),
        ("${NONE:-other: text}", "other: text"),
        ("${EMPTY:-other}", "other"),
        ("${NONE:-}x", "x"),
        ("${NAME:-other}", "joe"),
        ("$${NAME}", "${NAME}"),
        ("$NAME $$ ${name} ${1} $1 foo$ ^a${2}$ ${N-M} {NAME} $${1}", None),
        ("~^/(?<ID>x)/${ID}", None),
        ("~^/(?P<NAME>x)/${NAME}", None),
    ],
)
def test_what_stands_for_a_variable(text: str, used: str | None) -> None:
    assert remark(text) == (text if used is None else used)


def test_a_value_is_not_replaced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", "${NUMBER} $ENV:NUMBER")
    assert remark("${NAME}") == "${NUMBER} $ENV:NUMBER"
    monkeypatch.setenv("NAME", "file:none")

    class Settings(PluginSettings):
        token: Secret

    options = parse(BASE + '[plugins.a]\ncategory = "x"\ntoken = "$ENV:NAME"\n').plugins["a"]
    settings = validated(Settings, options.options, Surroundings())
    assert settings.token.get_secret_value() == "file:none"
    assert settings.token.path is None


def test_a_secret_file_below_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", str(tmp_path))
    (tmp_path / "s").write_text("hush")
    text = "[basic]\n[storages.a]\ncategory = 'secret'\nvalue = '$ENV:NUMBER'\n"
    assert parse(BASE + text).storages["a"].value.get_secret_value() == "3"

    class Settings(PluginSettings):
        token: Secret

    table = parse(BASE + '[plugins.a]\ncategory = "x"\ntoken = "file:${NAME}/s"\n')
    settings = validated(Settings, table.plugins["a"].options, Surroundings())
    assert settings.token.get_secret_value() == "hush"


def test_all_missing_variables_are_reported_at_once_and_nothing_else_about_them() -> None:
    toml = """[servers.web]
addr = "$ENV:NONE"
locations = ["app"]
[locations.app]
upstream = "${NONE}"
proxy_set_headers = ["A: b", "X-A: ${EMPTY}"]
[plugins.a]
category = "x"
nested = { list = [1, "$ENV:NONE"] }
"""
    with pytest.raises(ConfigError) as caught:
        parse(toml, "a.toml")
    hint = "(${{{0}:-}} allows that, and $${{{0}}} is the text itself)"
    assert str(caught.value).splitlines() == [
        'a.toml:2: servers.web.addr: the environment variable "NONE" is not set',
        'a.toml:5: locations.app.upstream: the environment variable "NONE" is not set '
        + hint.format("NONE"),
        'a.toml:6: locations.app.proxy_set_headers[1]: the environment variable "EMPTY" is empty '
        + hint.format("EMPTY"),
        'a.toml:9: plugins.a.nested.list[1]: the environment variable "NONE" is not set',
        "4 problems.",
    ]


def test_numbers_and_booleans() -> None:
    config = parse(
        '[basic]\nthreads = "$ENV:NUMBER"\n'
        + BASE.replace("[upstreams", 'tcp_fastopen = "${NUMBER}2"\n[upstreams')
        + 'enable_reverse_proxy_headers = "$ENV:ON"\nclient_max_body_size = "${NUMBER}KiB"\n'
    )
    assert config.basic.threads == 3
    assert config.servers["web"].tcp_fastopen == 32
    assert config.locations["app"].enable_reverse_proxy_headers is True
    assert config.locations["app"].client_max_body_size == 3072


def test_numbers_of_plugins_also_in_arrays() -> None:
    class Settings(PluginSettings):
        ports: tuple[int | None, ...] = Field((), strict=False)
        size: ByteSize = 0
        ratio: float = 0.0

    keys = 'ports = [1, "${NUMBER}"]\nsize = "$ENV:NUMBER"\nratio = "0.${NUMBER}"\n'
    options = parse(BASE + f'[plugins.a]\ncategory = "x"\n{keys}').plugins["a"].options
    settings = validated(Settings, options, Surroundings())
    assert (settings.ports, settings.size, settings.ratio) == ((1, 3), 3, 0.3)


def test_an_error_names_the_variable() -> None:
    with pytest.raises(ConfigError) as caught:
        parse('[basic]\nthreads = "${NAME}"\n' + BASE, "a.toml")
    (problem,) = caught.value.problems
    assert str(problem) == (
        'a.toml:2: basic.threads: found "joe" (string), expected an integer (from $NAME)'
    )


def test_included_keys_are_replaced_and_not_the_text_of_the_storage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NAME", 'joe"\nweight = 7')  # cannot add a key
    fragment = "[storages.s]\ncategory = \"config\"\nvalue = '''\nremark = \"${NAME}\"\n'''\n"
    config = parse(BASE + 'includes = ["${NUMBER:-s}"]\n' + fragment.replace(".s]", ".3]"))
    location = config.locations["app"]
    assert (location.remark, location.weight) == ('joe"\nweight = 7', None)


def test_a_reference_inside_a_text_is_a_warning() -> None:
    config = parse(BASE + 'remark = "https://a/?token=$ENV:NAME"\n', "a.toml")
    assert [str(one) for one in config.warnings] == [
        "a.toml:9: locations.app.remark: $ENV:NAME is not replaced inside a text: write ${NAME}"
    ]


def load(**variables: str) -> Config:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return parse(BASE + 'proxy_set_headers = ["X-Token: ${NAME}"]\nremark = "${NAME}"\n')


def test_tables_are_shown_as_written() -> None:
    table = load(NAME="hush").tables["locations"]["app"]
    assert table["remark"] == "hush"
    assert as_written(table)["proxy_set_headers"] == ["X-Token: ${NAME}"]
    shown: Any = [masked("locations", key, table[key], (), Path()) for key in table]
    assert "hush" not in str(shown)


def test_documents_stay_as_written() -> None:
    config = parse('[basic]\nname = "${NAME}"\n' + BASE)
    assert config.basic.name == "joe"
    assert config.source.documents[0].data["basic"] == {"name": "${NAME}"}


def test_a_reload_with_another_value_is_a_change() -> None:
    before, after = load(NAME="hush1"), load(NAME="hush2")
    shown = changes_text(changes_between(before, after))
    assert "# changed" in shown
    assert "${NAME}" in shown
    assert "hush" not in shown
    plugin = '[plugins.a]\ncategory = "mock"\ndata = "${NAME}"\n'
    digests = set()
    for name in ("one", "two"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NAME", name)
            digests.add(plugin_digest(parse(BASE + plugin), "a", object))
    assert len(digests) == 2


def test_values_reach_upstreams_and_clients(
    proxy: Proxy, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAME", "env")
    headers = [
        "Host: ${host}:8443",
        "X-Env: a-${NAME}",
        "X-Cookie: <${cookie_sid}>",
        "X-None: $arg_none",
    ]
    answer = ("response_headers", {"set_headers": ["X-From: ${upstream_host}|${request_uri}"]})
    proxy.configure("servers.web", access_log="${host} ${arg_q} ${NAME} {status}")
    proxy.location("/", proxy_set_headers=headers, plugins=[answer])
    reply = proxy.get(
        "/a?q=1", headers={"Host": "shop.example", "Cookie": "sid=c1", "X-None": "forged"}
    )
    received = upstream.received_once()
    assert received.header("host") == "shop.example:8443"
    assert received.header("x-env") == "a-env"
    assert received.header("x-cookie") == "<c1>"
    assert received.header("x-none") is None
    assert reply.headers["X-From"] == f"{upstream.addr}|/a?q=1"
    assert proxy.access_log == ["shop.example 1 env 200"]
