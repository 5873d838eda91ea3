"""``explain`` and the schema of the configuration: limits and headers that a location sets itself."""

from __future__ import annotations

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import parse
from pingap.inspection.explanation import explain
from pingap.inspection.json_schema import json_schema
from pingap.testing import make_request

TEXT = """
[upstreams.app]
addrs = ["127.0.0.1:9"]
read_timeout = "10s"
write_timeout = "11s"
idle_timeout = "12s"
[locations.all]
upstream = "app"
send_timeout = "1s"
connection_timeout = "2s"
max_body = "1kb"
host_header = "upstream"
proxy_remove_headers = ["Origin"]
proxy_set_headers = ["X-A: b", "X-B:"]
[servers.web]
addr = "127.0.0.1:80"
locations = ["all"]
"""


def test_what_a_location_sets_itself_is_explained() -> None:
    runtime = build(parse(TEXT, "c"), installed_registry())
    explanation = explain(runtime, "web", make_request(), "127.0.0.1")
    assert explanation.upstream is not None
    limits = [one for one in explanation.upstream.settings if "timeout" in one[0]]
    assert sorted(limits) == [
        ("connection_timeout", "2s (of the location)"),
        ("read_timeout", "10s"),
        ("write_timeout", "1s (of the location)"),
    ]
    assert [(one.action, one.entry, one.place.line) for one in explanation.headers] == [
        ("set", "Host: (the name of the backend)", 12),
        ("remove", "Origin", 13),
        ("set", "X-A: b", 14),
        ("remove", "X-B", 14),
    ]


def test_other_names_of_keys_are_in_the_schema() -> None:
    schema, _ = json_schema(installed_registry())
    location = schema["$defs"]["locations"]["properties"]
    for other, key in (("send_timeout", "write_timeout"), ("max_body", "client_max_body_size")):
        assert location[other]["description"] == f"Another name of `{key}`."
        same = {**location[other], "description": location[key]["description"]}
        assert same == location[key]
