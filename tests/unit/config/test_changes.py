"""The text of what changed, and that no secret is in it."""

from datetime import datetime

import pytest
from pydantic import BaseModel, ConfigDict, Field

from pingap import PluginSettings
from pingap.config import Secret, parse
from pingap.config.changes import LINE_LIMIT, changes_between, changes_text, summary
from pingap.config.masking import crc32

PEM = "-----BEGIN CERTIFICATE-----\\n%s\\n-----END CERTIFICATE-----\\n"
APP = '[upstreams.app]\naddrs = ["10.0.0.1:80"]\n'


def difference(old, new, models=None, **options):
    return changes_between(parse(old, **options), parse(new, **options), models)


def text(old, new, models=None, **options):
    return changes_text(difference(old, new, models, **options))


def plugin(keys, models=None, after=None):
    """The lines of a plugin that gets ``keys``, and then ``after``."""
    head = '[plugins.p]\ncategory = "x"\n'
    known = {"p": [models]} if models else {}
    return text(head + keys, head + (after or "") + "\n", known).split("\n")[1:]


def test_equal_configurations():
    assert text(APP, f"# a comment\n{APP}") == ""
    assert summary([]) == []


def test_items_come_go_and_change():
    old = (
        APP
        + """
    [basic]
    name = "one"
    [upstreams.old]
    addrs = ["10.0.0.2:80"]
    [locations.all]
    upstream = "app"
    path = "/"
    """
    )
    new = """
    [upstreams.app]
    read_timeout = "5s"
    addrs = ["10.0.0.1:80", "10.0.0.3:80 2"]
    [upstreams.new]
    addrs = ["10.0.0.4:80"]
    [locations.all]
    upstream = "app"
    weight = 7
    [servers.main]
    addr = "127.0.0.1:0"
    locations = ["all"]
    [certificates."a.example"]
    tls_cert = "a"
    [plugins.p]
    category = "x"
    [storages.s]
    category = "x"
    value = "x"
    """
    assert text(old, new).split("\n") == [
        "[MODIFIED] basic",
        '- name = "one"',
        "++ [ADDED] server:main",
        "[MODIFIED] location:all",
        '- path = "/"',
        "+ weight = 7",
        "-- [REMOVED] upstream:old",
        "[MODIFIED] upstream:app",
        '- addrs = ["10.0.0.1:80"]',
        '+ addrs = ["10.0.0.1:80", "10.0.0.3:80 2"]',
        '+ read_timeout = "5s"',
        "++ [ADDED] upstream:new",
        "++ [ADDED] plugin:p",
        "++ [ADDED] certificate:a.example",
        "++ [ADDED] storage:s",
    ]


def test_a_sentence_for_each_section():
    old = APP + '[upstreams.b]\naddrs = ["10.0.0.2"]\n[upstreams.c]\naddrs = ["10.0.0.2"]\n'
    new = old.replace("10.0.0", "10.0.1").partition("[upstreams.c]")[0] + "[basic]\nname = 'x'\n"
    assert summary(difference(old, new)) == [
        "Basic is modified",
        "Upstream(c) is removed",
        "Upstreams(app,b) are modified",
    ]


def test_a_value_of_another_type_is_another_value():
    assert plugin("a = 1\nb = 1.0", after="a = true\nb = 1") == [
        "- a = 1",
        "+ a = true",
        "- b = 1.0",
        "+ b = 1",
    ]


def test_values_are_toml():
    import tomli

    keys = 'a = { c = [1, { d = "\\u0001\\n\\"" }], "b.x" = 2020-01-01T10:00:00 }'
    (line,) = plugin("", after=keys)
    assert tomli.loads(line[2:]) == tomli.loads(keys)
    assert tomli.loads(line[2:])["a"]["b.x"] == datetime(2020, 1, 1, 10)
    assert line.index('"b.x"') < line.index("c =")


def test_what_was_included_is_shown_where_it_has_its_effect():
    old = """
    [storages.limits]
    category = "x"
    value = "read_timeout = '1s'"
    [upstreams.app]
    addrs = ["10.0.0.1"]
    includes = ["limits"]
    """
    assert text(old, old.replace("1s", "2s")).split("\n") == [
        "[MODIFIED] upstream:app",
        '- read_timeout = "1s"',
        '+ read_timeout = "2s"',
        "[MODIFIED] storage:limits",
        '- value = "***"',
        '+ value = "***"  # changed',
    ]


# Secrets.


class Login(BaseModel):
    user: str = ""
    word: Secret = Secret("")


class Settings(PluginSettings):
    model_config = ConfigDict(populate_by_name=True)

    key: str = ""
    opener: Secret | None = None
    openers: tuple[Secret, ...] = ()
    by_name: dict[str, Secret] = Field(default_factory=dict, alias="by-name")
    login: Login | None = None
    logins: tuple[Login, ...] = ()
    named: dict[str, Login] = Field(default_factory=dict)


def test_declared_secrets_of_plugins_are_masked_wherever_they_are(monkeypatch):
    monkeypatch.setenv("OPENER", "S7")
    keys = """
    opener = "S1"
    openers = ["S2", "$ENV:OPENER", "file:opener"]
    by-name = { a = "S3" }
    login = { user = "ann", word = "S4" }
    logins = [{ user = "bob", word = "S5" }]
    named = { x = { user = "eve", word = "S6" } }
    key = "header:x"
    """
    lines = plugin("", Settings, keys)
    assert lines == [
        '+ by-name = { a = "***" }',
        '+ key = "header:x"',
        '+ login = { user = "ann", word = "***" }',
        '+ logins = [{ user = "bob", word = "***" }]',
        '+ named = { x = { user = "eve", word = "***" } }',
        '+ opener = "***"',
        '+ openers = ["***", "$ENV:OPENER", "file:opener"]',
    ]
    assert all(f"S{n}" not in "".join(lines) for n in range(1, 8))


def test_a_secret_that_changed_is_told_without_it():
    assert plugin('opener = "S1"', Settings, 'opener = "S2"') == [
        '- opener = "***"',
        '+ opener = "***"  # changed',
    ]


def test_secrets_of_unknown_plugins_are_known_by_name():
    keys = """
    token = "S1"
    "api-key" = ["S2"]
    password = 51
    deep = { users = [{ name = "ann", password = "S3" }] }
    url = "https://ann:S4@example.com/"
    public_key = "shown"
    """
    assert plugin("", None, keys) == [
        '+ api-key = ["***"]',
        '+ deep = { users = [{ name = "ann", password = "***" }] }',
        '+ password = "***"',
        '+ public_key = "shown"',
        '+ token = "***"',
        '+ url = "https://***@example.com/"',
    ]


def test_keys_that_distributions_claim():
    class Claim(PluginSettings):
        opener: Login

    head = APP + '[locations.all]\nupstream = "app"\n'
    old, new = (parse(head + one, claims={"locations": {"opener": "x"}}) for one in (
        'opener = { word = "S1" }', 'opener = { word = "S2" }'
    ))  # fmt: skip
    assert changes_text(changes_between(old, new, {"all.opener": [Claim]})).split("\n")[1:] == [
        '- opener = { word = "***" }',
        '+ opener = { word = "***" }  # changed',
    ]


def test_keys_of_sources_of_certificates():
    class Source(PluginSettings):
        vault: str
        opener: Login

    head = '[certificates.a]\nvault = "v"\n'
    old, new = (parse(head + one, claims={"certificates": {"vault": "v", "opener": "v"}}) for one in (
        'opener = { word = "S1" }', 'opener = { word = "S2" }'
    ))  # fmt: skip
    models = {"certificates.a.vault": [Source]}
    assert changes_text(changes_between(old, new, models)).split("\n")[1:] == [
        '- opener = { word = "***" }',
        '+ opener = { word = "***" }  # changed',
    ]


def test_headers_that_carry_secrets():
    head = APP + '[locations.all]\nupstream = "app"\n'
    keys = 'proxy_set_headers = ["Authorization: S1", "X-Token: $TOKEN", "X-A: b"]'
    assert text(head, head + keys).split("\n")[1:] == [
        '+ proxy_set_headers = ["Authorization: ***", "X-Token: $TOKEN", "X-A: b"]'
    ]


def test_certificates_and_keys_are_told_apart_by_a_checksum(tmp_path):
    (tmp_path / "a.pem").write_text("x")
    head = '[certificates.a]\ndomains = "a.example"\n'
    one, two = (PEM % "one", PEM % "two")
    lines = text(
        head + f'tls_cert = "{one}"\ntls_key = "{one}"',
        head + f'tls_cert = "{two}"\ntls_key = "a.pem"',
        directory=tmp_path,
    ).split("\n")
    first, second = (crc32(pem.replace("\\n", "\n")) for pem in (one, two))
    assert lines == [
        "[MODIFIED] certificate:a",
        f'- tls_cert = "{first}"',
        f'+ tls_cert = "{second}"',
        f'- tls_key = "{first}"',
        '+ tls_key = "a.pem"',
    ]
    assert first.startswith("crc32:")
    assert "BEGIN" not in "".join(lines)


def test_the_file_of_a_secret_is_another(tmp_path):
    (tmp_path / "key.pem").write_text("one")
    head = '[certificates.a]\ntls_key = "file:key.pem"\n'
    old = parse(head, directory=tmp_path)
    (tmp_path / "key.pem").write_text("two")
    new = parse(head, directory=tmp_path)
    assert changes_text(changes_between(old, new)).split("\n") == [
        "[MODIFIED] certificate:a",
        '- tls_key = "file:key.pem"',
        '+ tls_key = "file:key.pem"  # changed',
    ]


# Length.


def test_long_values_are_cut_to_where_they_differ():
    networks = [f"10.{n}.0.0/16" for n in range(200)]
    keys = f"allow = {networks}"
    before, after = plugin(keys, None, keys.replace("10.150.0.0/16", "10.151.0.0/16"))
    assert len(before) <= LINE_LIMIT
    assert before.startswith("- allow = ...")
    assert "10.150.0.0/16" in before
    assert "10.150.0.0/16" not in after


def test_the_text_is_cut():
    new = "".join(f'[upstreams.app{n}]\naddrs = ["10.0.0.1"]\n' for n in range(100))
    changes = difference(APP, new)
    lines = changes_text(changes, limit=200).split("\n")
    assert len("\n".join(lines)) < 260
    assert lines[-1] == f"... and {101 - (len(lines) - 1)} more lines"


@pytest.mark.parametrize("key", ["webhook", "sentry"])
def test_tokens_in_urls_of_basic(key):
    from pingap.config.masking import masked

    assert masked("basic", key, "https://x/hook?key=S1", (), None) == "***"
