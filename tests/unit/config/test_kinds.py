"""Kinds of settings: what each takes and refuses, what it is in Python, what tools see of it."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from pingap import HeaderEntry, Networks, PluginSettings, Regex, Secret, UpstreamName
from pingap.config import (
    ByteSize,
    Config,
    ConfigError,
    Duration,
    Source,
    Surroundings,
    parse,
    problems_from,
)


class Settings(PluginSettings):
    token: Secret = Secret("")
    tokens: dict[str, list[Secret]] | None = None
    match: Regex | None = None
    allow: Networks = ()
    headers: list[HeaderEntry] = Field(default_factory=list)
    fallback: UpstreamName | None = None


def read(directory: Path = Path(), **values: object) -> Settings:
    surroundings = Surroundings(directory=directory, upstreams=("shop", "media"))
    return Settings.model_validate(values, context=surroundings)


def told(directory: Path = Path(), **values: object) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        read(directory, **values)
    problems = problems_from(caught.value, ("plugins", "x"), Source(), Settings)
    return [str(one).removeprefix("plugins.x.") for one in problems]


# Secrets.


def test_a_secret_is_the_text_itself() -> None:
    assert read(token="hush").token.get_secret_value() == "hush"


def test_a_secret_is_masked_everywhere() -> None:
    settings = read(token="hush", tokens={"a": ["hush"]})
    shown = f"{settings!r}{settings}{settings.token!r}{settings.model_dump()}"
    assert "hush" not in shown + settings.model_dump_json()
    assert settings.model_dump_json().count("**********") == 2


def test_no_error_repeats_a_secret() -> None:
    """Neither ours nor the text of pydantic's exception, which a traceback shows."""
    with pytest.raises(ValidationError) as caught:
        read(token=["hush"], tokens={"a": [b"hush"]}, nonesuch="hush")
    problems = problems_from(caught.value, (), Source(), Settings)
    assert "hush" not in str(caught.value) + "".join(map(str, problems))
    assert "token: expected a string" in map(str, problems)


def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "hush")
    assert read(token="$ENV:API_TOKEN").token.get_secret_value() == "hush"
    assert (read(tokens={"a": ["$ENV:API_TOKEN"]}).tokens or {})["a"][
        0
    ].get_secret_value() == "hush"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_comes_from_a_file_beside_the_configuration(tmp_path: Path, end: str) -> None:
    (tmp_path / "token").write_bytes(b" hush " + end.encode())
    assert read(tmp_path, token="file:token").token.get_secret_value() == " hush "
    absolute = read(token=f"file:{tmp_path}/token")
    assert absolute.token.get_secret_value() == " hush "


def test_a_secret_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_TOKEN", raising=False)
    monkeypatch.setenv("EMPTY", "")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff")
    (tmp_path / "large").write_bytes(b"x" * (1024 * 1024 + 1))
    expected = {
        "$ENV:API_TOKEN": 'the environment variable "API_TOKEN" is not set',
        "$ENV:": 'the environment variable "" is not set',
        "$ENV:EMPTY": 'the environment variable "EMPTY" is empty',
        "file:none": f'the secret file "{tmp_path}/none" cannot be read: No such file or directory',
        "file:.": f'the secret file "{tmp_path}" cannot be read: Is a directory',
        "file:a\0b": f'the secret file "{tmp_path}/a\\u0000b" is not UTF-8 text',
        "file:empty": f'the secret file "{tmp_path}/empty" is empty',
        "file:binary": f'the secret file "{tmp_path}/binary" is not UTF-8 text',
        "file:large": f'the secret file "{tmp_path}/large" is larger than 1048576 bytes',
    }
    for text, message in expected.items():
        assert told(tmp_path, token=text) == [f"token: {message}"]


CERTIFICATE = '[certificates.c]\ntls_key = "{0}"\ndns_service_url = "{0}"\n'
STORAGE = '[storages.s]\ncategory = ""\nvalue = "{0}"\n'


def core(text: str, directory: Path = Path()) -> Config:
    return parse(text, "p.toml", directory=directory)


def test_references_are_resolved_in_the_tables_of_the_core(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hush")
    config = core((CERTIFICATE + STORAGE).format("file:key"), tmp_path)
    certificate = config.certificates["c"]
    assert certificate.tls_key.get_secret_value() == "hush"
    assert certificate.dns_service_url.get_secret_value() == "hush"
    assert config.storages["s"].value.get_secret_value() == "hush"
    assert "hush" not in repr(config)


def test_an_included_storage_may_be_a_reference(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text('addrs = ["127.0.0.1:9"]\n')
    toml = STORAGE.format("file:lines") + '[upstreams.u]\nincludes = ["s"]\n'
    assert core(toml, tmp_path).upstreams["u"].addrs == ("127.0.0.1:9",)


def test_references_that_are_missing_in_the_core_are_told_with_their_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NONE", raising=False)
    toml = (CERTIFICATE + STORAGE).format("$ENV:NONE")
    toml += '[upstreams.u]\naddrs = ["127.0.0.1:9"]\nincludes = ["s"]\n'
    with pytest.raises(ConfigError) as caught:
        core(toml, tmp_path)
    assert str(caught.value).splitlines() == [
        'p.toml:2: certificates.c.tls_key: the environment variable "NONE" is not set',
        'p.toml:3: certificates.c.dns_service_url: the environment variable "NONE" is not set',
        'p.toml:6: storages.s.value: the environment variable "NONE" is not set',
        "3 problems.",
    ]


# Regular expressions.


def test_a_regex_has_the_syntax_of_the_configuration() -> None:
    match = read(match=r"^(?<tenant>[[:alpha:]]+)\z").match
    assert match is not None
    found = match.search("shop")
    assert found is not None
    assert found["tenant"] == "shop"
    assert match.search("shop\n") is None


def test_a_compiled_regex_is_taken_as_it_is() -> None:
    pattern = re.compile("a")
    assert read(match=pattern).match is pattern


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("(", '"(" is not a regular expression: missing ), unterminated subpattern'),
        ("a(?=b)", '"a(?=b)" is not a regular expression: look-ahead is not supported'),
        (3, "found 3 (integer), expected a regular expression"),
    ],
)
def test_a_wrong_regex_is_told(value: object, message: str) -> None:
    (problem,) = told(match=value)
    assert problem.startswith(f"match: {message}")


# Networks.


def test_networks_are_addresses_and_networks() -> None:
    texts = ["192.0.2.7", "10.1.2.3/8", "2001:db8::/32", "::1"]
    assert read(allow=texts).allow == tuple(ip_network(text, strict=False) for text in texts)
    assert read(allow=[ip_network("10.0.0.0/8")]).allow == (ip_network("10.0.0.0/8"),)


@pytest.mark.parametrize(
    ("text", "network"),
    [("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::ffff:192.0.2.7", "192.0.2.7/32")],
)
def test_a_mapped_network_is_that_of_its_ipv4_clients(text: str, network: str) -> None:
    assert read(allow=[text]).allow == (ip_network(network),)


def test_a_wide_ipv6_network_stays_one() -> None:
    assert read(allow=["::/0", "::ffff:0:0/95"]).allow[0] == ip_network("::/0")


def test_wrong_networks_are_told_with_their_places() -> None:
    assert told(allow=["10.0.0.0/33", 10, "::1"]) == [
        'allow[0]: "10.0.0.0/33" is not an IP address or network',
        "allow[1]: found 10 (integer), expected an IP address or network",
    ]
    assert told(allow="10.0.0.0/8") == ['allow: found "10.0.0.0/8" (string), expected an array']


# Headers.


def test_headers_are_entries() -> None:
    settings = read(headers=["X-A:  b", "X-Host: $host"])
    assert [(one.name, one.value.text) for one in settings.headers] == [
        ("X-A", "b"),
        ("X-Host", "$host"),
    ]
    assert settings.model_dump(mode="json")["headers"] == ["X-A: b", "X-Host: $host"]
    assert repr(settings.headers[0]) == "HeaderEntry('X-A: b')"
    assert read(headers=settings.headers) == settings


@pytest.mark.parametrize("text", ["no colon", ": x", "a b: c", "X: a\r\nY: b", "X: $NO_SUCH_THING"])
def test_a_wrong_header_is_told(text: str) -> None:
    (problem,) = told(headers=["X: a", text])
    assert problem.startswith("headers[1]: ")


def test_a_header_that_is_no_text_is_told() -> None:
    assert told(headers=[3]) == [
        'headers[0]: found 3 (integer), expected a header such as "Name: value"'
    ]


# Upstreams.


def test_an_upstream_must_be_configured() -> None:
    assert read(fallback="shop").fallback == "shop"
    assert told(fallback="shpo") == [
        'fallback: no upstream block is named "shpo"; did you mean "shop"?'
    ]
    assert told(fallback=3) == ["fallback: found 3 (integer), expected a string"]


def test_names_are_not_checked_where_no_configuration_is_known() -> None:
    assert Settings(fallback="anything").fallback == "anything"


# What tools see.

FORMATS: dict[str, Any] = {
    "pingap-secret": Secret,
    "pingap-regex": Regex,
    "pingap-header": HeaderEntry,
    "pingap-upstream": UpstreamName,
    "pingap-duration": Duration,
    "pingap-size": ByteSize,
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_a_kind_has_a_schema_of_its_own(name: str, mode: Any) -> None:
    schema = TypeAdapter(FORMATS[name]).json_schema(mode=mode)
    assert schema["format"] == name
    assert schema["description"]
    assert schema.get("type", "string") == "string"


def test_networks_are_an_array_in_the_schema() -> None:
    schema = TypeAdapter(Networks).json_schema()
    assert schema["type"] == "array"
    assert schema["items"]["format"] == "pingap-network"


def test_a_field_keeps_its_own_description_and_default() -> None:
    class Described(PluginSettings):
        token: Secret = Secret("")
        """What proves who we are."""
        path: Regex = re.compile("^/")

    properties = Described.model_json_schema(mode="serialization")["properties"]
    assert properties["token"]["description"] == "What proves who we are."
    assert properties["token"]["default"] == ""
    assert properties["path"]["default"] == "^/"
