"""Everything that is wrong is reported in one run."""

from __future__ import annotations

import pytest

from pingap.build.graph import build
from pingap.build.loading import load_configuration
from pingap.build.registry import installed_registry
from pingap.config import ConfigError, Snapshot, parse

TOML = """\
[servers.web]
addr = "127.0.0.1:nine"
locations = ["app"]

[locations.app]
rewritten = "^/app/(.*) /$1"
upstream = "nowhere"
plugins = ["small", "late"]

[plugins.small]
category = "admin"

[plugins.late]
category = "mock"
statuss = 200

[certificates.web]
tls_cert = "$FILE:missing.pem"
tls_key = "missing.key"
"""


def test_tables_plugins_and_certificates_are_checked_in_one_run() -> None:
    with pytest.raises(ConfigError) as caught:
        load_configuration(Snapshot.of_text(TOML, "c"), installed_registry())
    assert [".".join(map(str, one.path)) for one in caught.value.problems] == [
        "servers.web.addr",
        "locations.app.rewritten",
        "locations.app.upstream",
        "plugins.small.category",
        "plugins.late.statuss",
        "certificates.web.tls_cert",
        "certificates.web.tls_key",
    ]


@pytest.mark.parametrize(
    ("plugins", "warned"), [([], True), (["pingap:requestId"], True), (["pingap:ping"], False)]
)
def test_a_location_that_can_never_answer_is_warned_of(plugins: list[str], warned: bool) -> None:
    text = f"[locations.app]\nplugins = {plugins}\n"
    runtime = build(parse(text, "c"), installed_registry())
    expected = (
        "c:1: locations.app: answers every request with 503:"
        " it has no upstream, and no plugin that answers"
    )
    assert list(map(str, runtime.warnings)) == [expected] * warned


def test_an_option_of_a_plugin_that_is_empty_counts_as_absent() -> None:
    text = '[plugins.id]\ncategory = "request_id"\nalgorithm = ""\n'
    assert [one.name for one in build(parse(text, "c"), installed_registry()).plugins] == ["id"]
