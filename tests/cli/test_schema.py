"""``pingap schema``: takes what loading takes, and says no to slips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli
from docs.blocks import ROOT
from jsonschema import Draft202012Validator
from support.command import invoke
from support.plugins import python_path, write_distribution

from pingap.build.registry import installed_registry
from pingap.config import TEMPLATE
from pingap.inspection.json_schema import json_schema

VALID = """
[plugins.p]
category = "mock"
delay = "5s"
[servers.s]
addr = "127.0.0.1:0"
"""


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema, failures = json_schema(installed_registry())
    assert failures == []
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def mistakes(validator: Draft202012Validator, toml: str) -> list[tuple[str, str]]:
    return [(e.json_path, e.message) for e in validator.iter_errors(tomli.loads(toml))]


def test_output() -> None:
    code, out, err = invoke("schema")
    assert (code, err, out.count("\n")) == (0, "", 1)
    schema = json.loads(out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    pretty = invoke("schema", "--pretty")[1]
    assert json.loads(pretty) == schema
    assert pretty.count("\n") > 100


@pytest.mark.parametrize("file", sorted((ROOT / "conf.d").glob("*.toml")), ids=lambda f: f.name)
def test_takes_conf_d(validator: Draft202012Validator, file: Path) -> None:
    assert mistakes(validator, file.read_text()) == []


def test_takes_the_template_which_names_it(validator: Draft202012Validator) -> None:
    assert mistakes(validator, TEMPLATE) == []
    first, second, *_ = TEMPLATE.splitlines()
    assert first == "#:schema ./pingap.schema.json"
    assert second.startswith("# ")
    assert second.endswith("pingap schema > pingap.schema.json")


@pytest.mark.parametrize(
    ("found", "written", "path", "message"),
    [
        ("delay", "dealy", "$.plugins.p", "'dealy' was unexpected"),
        ('delay = "5s"', "delay = 5", "$.plugins.p.delay", "5 is not of type 'string'"),
        ('"5s"', '"5 parsecs"', "$.plugins.p.delay", "'5 parsecs' does not match"),
        ('"mock"', '"mok"', "$.plugins.p.category", "'mok' is not one of"),
        ('"mock"', '"ping"', "$.plugins.p", "'path' is a required property"),
        ("[plugins.p]", '[plugins.p]\nstep = "response"', "$.plugins.p.step", "is not one of"),
        ("addr", "adr", "$.servers.s", "'adr' was unexpected"),
        ("addr", 'locations = "x"\naddr', "$.servers.s.locations", "is not of type 'array'"),
        ("[servers.s]", "[server.s]", "$", "'server' was unexpected"),
        ("[servers.s]", "[servers.s]\nmax_headers = 0", "$.servers.s.max_headers", "minimum of 1"),
        ('addr = "127.0.0.1:0"', "", "$.servers.s", "is not valid under any of the given schemas"),
        ("[plugins.p]", "[basic]\nthreads = '3'\n[plugins.p]", "$.basic.threads", "not match"),
        ("[plugins.p]", "[basic]\nlog_levl = 1\n[plugins.p]", "$.basic", "'log_levl' was unexp"),
    ],
)
def test_says_no(
    validator: Draft202012Validator, found: str, written: str, path: str, message: str
) -> None:
    assert found in VALID
    assert mistakes(validator, VALID) == []
    told = mistakes(validator, VALID.replace(found, written, 1))
    assert any(where == path and message in text for where, text in told), told


@pytest.mark.parametrize(
    "toml",
    [
        "[servers.s]\nincludes = ['common']\n",
        "[upstreams.u]\naddrs = ['a']\ndiscovery = ''\nalpn = 'h1'\ntcp_recv_buf = 4096\n",
        "[basic]\ncache_directory = 'x'\ngrace_period = '1h 30m'\n",
        "[locations.l]\nrewrite = ''\ngrpc_web = false\nweight = 3\n",
        "[plugins.p]\ncategory = 'python'\npath = 'x.py'\nanything = 1\n",
        "[plugins.p]\ncategory = 'ping'\npath = '/'\nstep = 'request'\nremark = 'x'\n",
        "[basic]\nthreads = '$ENV:T'\nlog_format_json = '${JSON}'\ngrace_period = '${G}s'\n"
        "trusted_forwarding = '${F:-any}'\n",
        "[plugins.p]\ncategory = 'mock'\nstatus = '${STATUS}'\ndelay = '$ENV:DELAY'\n",
        "[plugins.p]\ncategory = 'ip_restriction'\ntype = '${TYPE}'\nip_list = ['${A}/8', 'private']\n",
    ],
)
def test_takes_what_loading_takes(validator: Draft202012Validator, toml: str) -> None:
    assert mistakes(validator, toml) == []


def test_keys_are_described_with_defaults_as_toml_has_them(
    validator: Draft202012Validator,
) -> None:
    schema: Any = validator.schema
    server = schema["$defs"]["servers"]["properties"]
    assert server["keepalive_timeout"]["default"] == "1m 15s"
    assert server["max_header_size"]["default"] == "64KiB"
    assert server["addr"]["description"].startswith("Addresses to listen on")
    assert server["otlp_exporter"]["description"] == (
        "OTLP gRPC URL for traces. Not supported yet (OpenTelemetry)."
    )
    mock = schema["$defs"]["plugins.mock"]["properties"]
    assert mock["delay"]["description"] == "How long to wait before answering."
    assert mock["category"]["const"] == "mock"
    assert mock["step"]["enum"] == ["", "request", "proxy_upstream"]
    assert "claimed" not in schema["$defs"]["locations"]["properties"]
    assert "null" not in json.dumps(schema)


def test_claimed_keys_nested_settings_and_what_does_not_load(tmp_path: Path) -> None:
    source = """
    class Part(PluginSettings):
        title: str
        '''Its title.'''

    class Stamp(Plugin):
        category = "stamp"

        class Settings(PluginSettings):
            stamp: list[Part] = []
            '''What is stamped.'''

        @classmethod
        @hookimpl
        def pingap_location_keys(cls):
            return {"stamp": cls}
    """
    points = {"location:stamp": "test_stamp:Stamp", "stamp": "test_stamp:Stamp", "bad": "none:X"}
    write_distribution(tmp_path / "site", "test_stamp", source, points)
    code, out, err = invoke("schema", **python_path(tmp_path / "site"))
    assert (code, err) == (
        0,
        "warning: category bad: test-stamp cannot be loaded: No module named 'none'\n",
    )
    validator = Draft202012Validator(json.loads(out))
    for table in ("[locations.l]", '[plugins.p]\ncategory = "stamp"'):
        assert mistakes(validator, f"{table}\nstamp = [{{title = 'x'}}]\n") == []
        assert mistakes(validator, f"{table}\nstamp = [{{titel = 'x'}}]\n") != []
    assert mistakes(validator, '[plugins.p]\ncategory = "bad"\nanything = 1\n') == []
    stamp = validator.schema["$defs"]["locations"]["properties"]["stamp"]
    assert stamp["description"] == "What is stamped."
